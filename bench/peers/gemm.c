// Rates of OpenBLAS and oneDNN for float32 matrix products of the shapes that package measure lists, in the form of Go's benchmarks, so that
// they can stand in one file with ours. bench/peers/run builds and runs it:
//
//	gemm openblas|onednn NAME THREADS avx2|avx512 SHAPES
//
// measures one library under that NAME, against the ceiling of that instruction set, at the sizes "M N K" of the lines of the file SHAPES. A
// process measures one library alone: threads that wait for work by spinning would take the cores from the other.
//
// C (M×N) = op(A)·op(B), row-major: NN with A (M×K) and B (K×N); NT with B (N×K); TN with A (K×M). A rate is that of the best of several
// rounds, each as long as a clock can measure, as ours are.
#include <cblas.h>
#include <immintrin.h>
#include <oneapi/dnnl/dnnl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

// Independent multiply-adds in registers alone: what no product can exceed. Twelve chains hide their latency. Each returns how many
// operations it did.
#define CHAINS(step) step(0) step(1) step(2) step(3) step(4) step(5) step(6) step(7) step(8) step(9) step(10) step(11)

__attribute__((target("avx512f"))) static double multiply_add_512(long n) {
    __m512 a[12], b = _mm512_set1_ps(.999f), c = _mm512_set1_ps(.001f);
    for (int i = 0; i < 12; i++) a[i] = _mm512_set1_ps(1 + i);
    for (long i = 0; i < n; i++) {
#define STEP(k) a[k] = _mm512_fmadd_ps(a[k], b, c);
        CHAINS(STEP)
#undef STEP
    }
    float sum = 0;
    for (int i = 0; i < 12; i++) sum += _mm512_reduce_add_ps(a[i]);
    volatile float keep = sum;
    (void)keep;
    return 12.0 * 32 * n;
}

__attribute__((target("avx2,fma"))) static double multiply_add_256(long n) {
    __m256 a[12], b = _mm256_set1_ps(.999f), c = _mm256_set1_ps(.001f);
    for (int i = 0; i < 12; i++) a[i] = _mm256_set1_ps(1 + i);
    for (long i = 0; i < n; i++) {
#define STEP(k) a[k] = _mm256_fmadd_ps(a[k], b, c);
        CHAINS(STEP)
#undef STEP
    }
    for (int i = 1; i < 12; i++) a[0] = _mm256_add_ps(a[0], a[i]);
    volatile float keep = a[0][0];
    (void)keep;
    return 12.0 * 16 * n;
}

static int wide; // the ceiling is that of AVX-512

static void *one_ceiling(void *rate) {
    for (int r = 0; r < 20; r++) {
        double t = now(), n = wide ? multiply_add_512(100000) : multiply_add_256(100000);
        double g = n / (now() - t) / 1e9;
        if (g > *(double *)rate) *(double *)rate = g;
    }
    return NULL;
}

// ceiling is the rate in GFLOP/s of multiply-adds on that many threads at once.
static double ceiling(int threads) {
    pthread_t id[threads];
    double rate[threads], sum = 0;
    memset(rate, 0, sizeof rate);
    for (int i = 1; i < threads; i++)
        if (pthread_create(&id[i], NULL, one_ceiling, &rate[i])) abort();
    one_ceiling(&rate[0]);
    for (int i = 1; i < threads; i++) pthread_join(id[i], NULL);
    for (int i = 0; i < threads; i++) sum += rate[i];
    return sum;
}

static int openblas; // or else oneDNN

static void multiply(int ta, int tb, long m, long n, long k, const float *a, long lda, const float *b, long ldb, float *c) {
    if (openblas)
        cblas_sgemm(CblasRowMajor, ta ? CblasTrans : CblasNoTrans, tb ? CblasTrans : CblasNoTrans, m, n, k, 1, a, lda, b, ldb, 0, c, n);
    else if (dnnl_sgemm(ta ? 'T' : 'N', tb ? 'T' : 'N', m, n, k, 1, a, lda, b, ldb, 0, c, n) != dnnl_success)
        abort();
}

static float *numbers(long n) {
    float *x = aligned_alloc(64, (n * sizeof *x + 64) & ~63l);
    if (!x) abort();
    for (long i = 0; i < n; i++) x[i] = rand() / (float)RAND_MAX - .5f;
    return x;
}

int main(int argc, char **argv) {
    if (argc != 6 || (strcmp(argv[1], "openblas") && strcmp(argv[1], "onednn")) || (strcmp(argv[4], "avx2") && strcmp(argv[4], "avx512"))) {
        fprintf(stderr, "usage: gemm openblas|onednn NAME THREADS avx2|avx512 SHAPES\n");
        return 2;
    }
    openblas = !strcmp(argv[1], "openblas");
    int threads = atoi(argv[3]);
    wide = !strcmp(argv[4], "avx512");
    FILE *shapes = fopen(argv[5], "r");
    if (threads < 1 || !shapes || (wide && !__builtin_cpu_supports("avx512f"))) {
        fprintf(stderr, "gemm: %s threads, shapes in %s, %s: a number from 1, a file, and what the CPU has\n", argv[3], argv[5], argv[4]);
        return 2;
    }
    if (openblas) {
        openblas_set_num_threads(threads);
        printf("# %s: %s, kernels for %s\n", argv[2], openblas_get_config(), openblas_get_corename());
    } else {
        const dnnl_version_t *v = dnnl_version();
        printf("# %s: oneDNN %d.%d.%d\n", argv[2], v->major, v->minor, v->patch);
    }
    // The system may start both threads on one core: work until it has moved one of them.
    float *w = numbers(1024 * 1024), *product = numbers(1024 * 1024);
    for (double start = now(); now() - start < 1;) multiply(0, 0, 1024, 1024, 1024, w, 1024, w, 1024, product);
    static const struct { const char *name; int ta, tb; } forms[] = {{"NN", 0, 0}, {"NT", 0, 1}, {"TN", 1, 0}};
    long m, n, k;
    while (fscanf(shapes, "%ld %ld %ld", &m, &n, &k) == 3) {
        float *a = numbers(m * k), *b = numbers(n * k), *c = numbers(m * n);
        for (int f = 0; f < 3; f++) {
            int ta = forms[f].ta, tb = forms[f].tb;
            long lda = ta ? m : k, ldb = tb ? k : n;
            double top = ceiling(threads), best = 0, flops = 2.0 * m * n * k;
            long each = 1 + (long)(2e6 / flops), rounds = 5 + (long)(8e9 / (flops * each));
            if (rounds > 400) rounds = 400;
            for (long r = 0; r < rounds; r++) {
                double t = now();
                for (long i = 0; i < each; i++) multiply(ta, tb, m, n, k, a, lda, b, ldb, c);
                double g = flops * each / (now() - t) / 1e9;
                if (g > best) best = g;
            }
            printf("BenchmarkPeer/%s/gemm/threads=%d/%s/%ldx%ldx%ld %ld %.0f ns/op %.2f %%ceiling %.2f GFLOP/s\n", argv[2], threads, forms[f].name,
                   m, n, k, rounds * each, flops / best, 100 * best / top, best);
            fflush(stdout);
        }
        free(a), free(b), free(c);
    }
    fclose(shapes);
    return 0;
}
