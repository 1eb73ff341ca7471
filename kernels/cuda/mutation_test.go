package cuda_test

import (
	"errors"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/godino-ml/godino/kernels/cuda"
	"github.com/godino-ml/godino/kernels/cuda/cudatest"
)

// The tests that are to find the bugs of TestMutations.
const (
	gemm64     = `^TestGemm$/^(eager|lazy)$/^bf16->f32_(24x40x1200_(transA_bias|transB)_beta|70x65x133_(transA|transB)_bias)_sums$`
	gemm128    = `^TestGemm$/^lazy$/^bf16->bf16_328x200x168_transB_bias_residual_sums$`
	gemmTF32   = `^TestGemm$/^(eager|lazy)$/^f32\(tf32\)->f32_24x40x600_transB_beta_sums$`
	gemmParts  = `^TestGemm$/^lazy$/^bf16->f32_24x40x1200_`
	hopperNT   = `^TestGemmHopper$/^(eager|lazy_reverse)$/^bf16->bf16_300x200x152_transB_bias$`
	hopperGELU = `^TestGemmHopper$/^(eager|lazy)$/^bf16->bf16_70x392x456_transB_bias_gelu_h$`
	hopperNN   = `^TestGemmHopper$/^lazy$/^bf16->bf16_300x200x152$`
	hopperTN   = `^TestGemmHopper$/^lazy$/^bf16->f32_328x200x1300_transA_beta_sums$`
	layerNorm  = `^TestLayerNorm(Forward|Backward)$/^(eager|eager_reverse|long)$`
	softmax    = `^TestCenteredSoftmax$`
	sums       = `^TestSums$`
	crossEnt   = `^TestPrototypeCrossEntropy$`
	weightNorm = `^TestWeightNorm$`
	attend     = `^TestAttention$/^(eager|lazy)$/^bf16_B1_N(17|65)_heads2_D(48|64)_`
	attendLong = `^TestAttention$/^long$/^bf16_B1_N300_`
)

// Bugs of the kinds that people make, one by one in kernels whose tests pass without: each must be found, by what the interpreter reports or by a wrong
// result. Found says which of the two, where it must be a certain one. Where a kernel has changed and its bug is now in a place that its test does not reach,
// or that does not matter, choose another place (Nth).
var mutations = []struct {
	name  string
	bug   cudatest.Mutation
	test  string
	found string // a regular expression of what is printed
}{
	{"no barrier before the ring's next step", cudatest.Mutation{File: "gemm", Kernel: "gemm_bf16_nt_64", Old: `bar\.sync\s+0;`, Nth: 0}, gemm64, "race|under way|nobody wrote"},
	{"lanes that do not meet before the tile of C", cudatest.Mutation{File: "gemm", Kernel: "gemm_bf16_nt_64", Old: `bar\.warp\.sync 0xffffffff;`, Nth: 8}, gemm64, "no bar.warp.sync"},
	{"no barrier before the tile of C", cudatest.Mutation{File: "gemm", Kernel: "gemm_bf16_nt_64", Old: `bar\.sync\s+0;`, Nth: 1}, gemm64, "race|nobody wrote"},
	{"no wait for a copy", cudatest.Mutation{File: "gemm", Kernel: "gemm_bf16_nt_64", Old: `cp\.async\.wait_group \d+;`, Nth: 0}, gemm64, "under way"},
	{"a wait for one copy too few", cudatest.Mutation{File: "gemm", Kernel: "gemm_bf16_nt_64", Old: `cp\.async\.wait_group 2;`, New: "cp.async.wait_group 3;"}, gemm64, "under way"},
	{"no wait in the large tile", cudatest.Mutation{File: "gemm", Kernel: "gemm_bf16_nt_128", Old: `cp\.async\.wait_group \d+;`, Nth: 0}, gemm128, "under way"},
	{"no commit", cudatest.Mutation{File: "gemm", Kernel: "gemm_bf16_nt_64", Old: `cp\.async\.commit_group;`, Nth: 3}, gemm64, "under way"},
	{"no commit of the first step", cudatest.Mutation{File: "gemm", Kernel: "gemm_bf16_nt_64", Old: `cp\.async\.commit_group;`, Nth: 0}, gemm64, "under way"},
	{"no wait in TF32", cudatest.Mutation{File: "gemm_tf32", Kernel: "gemm_tf32_nt_64", Old: `cp\.async\.wait_group \d+;`, Nth: 0}, gemmTF32, "under way"},
	{"ldmatrix with trans", cudatest.Mutation{File: "gemm", Kernel: "gemm_bf16_nt_64", Old: `m8n8\.x4\.shared`, New: "m8n8.x4.trans.shared"}, gemm64, "want"},
	{"ldmatrix without trans", cudatest.Mutation{File: "gemm", Kernel: "gemm_bf16_tn_64", Old: `m8n8\.x4\.trans\.shared`, New: "m8n8.x4.shared"}, gemm64, "want"},
	{"registers of A exchanged", cudatest.Mutation{File: "gemm", Kernel: "gemm_bf16_nt_64", Old: `(f32 \{[^}]*\}, \{%r\d+), (%r\d+), (%r\d+),`, New: "$1, $3, $2,"}, gemm64, "want"},
	{"registers of B exchanged", cudatest.Mutation{File: "gemm", Kernel: "gemm_bf16_nt_64", Old: `(f32 \{[^}]*\}, \{[^}]*\}, )\{(%r\d+), (%r\d+)\}`, New: "${1}{$3, $2}"}, gemm64, "want"},
	{"sums of parts not summed", cudatest.Mutation{File: "gemm", Kernel: "gemm_reduce", Old: `add\.ftz\.f32\s+(%f\d+), (%f\d+), (%f\d+);`, New: "mov.f32 $1, $2;", Nth: 20}, gemmParts, "want"},
	{"no barrier before partial sums are read", cudatest.Mutation{File: "dot", Kernel: "dot_f32", Old: `bar\.sync\s+0;`, Nth: 1}, sums, "race|nobody wrote"},
	{"a barrier of some threads", cudatest.Mutation{File: "dot", Kernel: "dot_f32", Old: `bar\.sync\s+0;`, New: "{ .reg .pred %q; .reg .u32 %t; mov.u32 %t, %tid.x; setp.lt.u32 %q, %t, 40; @%q bar.sync 0; }", Nth: 1}, sums, "barrier"},
	{"a shuffle by another distance", cudatest.Mutation{File: "layernorm", Kernel: "layernorm_forward_f32", Old: `(shfl\.sync\.bfly\.b32 %f\d+, %f\d+), %r(\d+),`, New: "$1, 3,"}, layerNorm, "want"},
	{"a shuffle's mask without a lane", cudatest.Mutation{File: "dot", Kernel: "dot_f32", Old: `0x1f, 0xffffffff;`, New: "0x1f, 0x7fffffff;"}, sums, "mask"},
	{"no barrier between two sums of a block", cudatest.Mutation{File: "layernorm", Kernel: "layernorm_forward_f32", Old: `bar\.sync\s+0;`, Nth: 2}, layerNorm, "race"},
	{"one element too many", cudatest.Mutation{File: "layernorm", Kernel: "layernorm_forward_f32", Old: `setp\.lt\.s32`, New: "setp.le.s32", Nth: 2}, layerNorm, "."},
	{"a column too many", cudatest.Mutation{File: "columns", Kernel: "columns_add", Old: `setp\.ge\.s32`, New: "setp.gt.s32", Nth: 0}, layerNorm, "."},
	{"a wrong stride", cudatest.Mutation{File: "columns", Kernel: "columns_add", Old: `mul\.wide\.s32\s+(%rd\d+), (%r\d+), 4;`, New: "mul.wide.s32 $1, $2, 8;"}, layerNorm, "."},
	{"a misaligned vector", cudatest.Mutation{File: "layernorm", Kernel: "layernorm_backward_384_bf16", Old: `(ld\.global\.v2\.u32\s+\{[^}]*\}, \[%rd\d+)(\+\d+)?\]`, New: "${1}+2]"}, layerNorm, "not aligned"},
	{"a sum that begins with nothing", cudatest.Mutation{File: "dot", Kernel: "dot_f32", Old: `mov\.f32\s+%f\d+, 0f00000000;`}, sums, "before it has a value"},
	{"factor and summand exchanged", cudatest.Mutation{File: "layernorm", Kernel: "layernorm_forward_f32", Old: `(fma\.rn\.ftz\.f32\s+%f\d+), (%f\d+), (%f\d+), (%f\d+);`, New: "$1, $4, $3, $2;", Nth: 0}, layerNorm, "want"},
	{"bf16 cut off", cudatest.Mutation{File: "layernorm", Kernel: "layernorm_backward_384_bf16", Old: `cvt\.rn\.bf16x2`, New: "cvt.rz.bf16x2"}, layerNorm, "want"},
	{"no maximum", cudatest.Mutation{File: "centeredsoftmax", Kernel: "centeredsoftmax_forward_f32", Old: `setp\.gt\.ftz\.f32`, New: "setp.lt.ftz.f32", Nth: 0}, softmax, "want|got"},
	{"a branch the other way", cudatest.Mutation{File: "weightnorm", Kernel: "weightnorm_forward_bf16", Old: `@%p(\d+) bra`, New: "@!%p$1 bra", Nth: 1}, weightNorm, "."},
	{"no predicate at the end of a row", cudatest.Mutation{File: "weightnorm", Kernel: "weightnorm_forward_bf16", Old: `@%p\d+ bra\s+\S+;`, Nth: 0}, weightNorm, "."},
	{"a result that is never written", cudatest.Mutation{File: "dot", Kernel: "dot_end", Old: `st\.global\.f32\s+\[%rd\d+\], %f\d+;`}, sums, "."},
	{"shared memory a word further", cudatest.Mutation{File: "columns", Kernel: "columns_add", Old: `(ld\.shared\.f32\s+%f\d+, \[%rd\d+)\+256\];`, New: "$1+260];"}, `^TestLayerNormRows$`, "."},
	{"a threads' exit before a barrier", cudatest.Mutation{File: "dot", Kernel: "dot_f32", Old: `bar\.sync\s+0;`, New: "{ .reg .pred %q; .reg .u32 %t; mov.u32 %t, %tid.x; setp.gt.u32 %q, %t, 223; @%q ret; } bar.sync 0;", Nth: 1}, sums, "have ended|barrier"},
	{"attention: no wait for keys", cudatest.Mutation{File: "attention_d64", Kernel: "attention_forward_d64x1_bf16", Old: `cp\.async\.wait_group \d+;`}, attend, "under way"},
	{"attention: no barrier before keys", cudatest.Mutation{File: "attention_d64", Kernel: "attention_forward_d64x1_bf16", Old: `bar\.sync\s+0;`}, attend, "race|under way|nobody wrote"},
	{"attention: keys that do not exist", cudatest.Mutation{File: "attention_d48", Kernel: "attention_forward_d48x1_bf16", Old: `selp\.f32\s+(%f\d+), (%f\d+), 0fFF800000,`, New: "selp.f32 $1, $2, $2,", Nth: 6}, attend, "want"},
	{"attention: sums not scaled down", cudatest.Mutation{File: "attention_d64", Kernel: "attention_forward_d64x1_bf16", Old: `ex2\.approx\.ftz\.f32\s+(%f\d+), (%f\d+);`, New: "mov.f32 $1, 0f3F800000;"}, attend, "want"},
	{"attention: no barrier before the gradient of queries", cudatest.Mutation{File: "attention_d64", Kernel: "attention_backward_d64x2_bf16", Old: `bar\.sync\s+0;`, Nth: 2}, attend, "race|nobody wrote"},
	{"attention: no barrier between chunks of keys", cudatest.Mutation{File: "attention_d64", Kernel: "attention_backward_d64x2_bf16", Old: `bar\.sync\s+0;`, Nth: 3}, attendLong, "race|nobody wrote"},
	{"the loss's logarithm of another base", cudatest.Mutation{File: "prototypecrossentropy", Kernel: "prototypecrossentropy_forward_f32_f32", Old: `lg2\.approx\.ftz\.f32\s+(%f\d+), (%f\d+);`, New: "mov.f32 $1, $2;"}, crossEnt, "."},
	{"no wait for a stage", cudatest.Mutation{File: "gemm_sm_90a", Kernel: "gemm_nt_gelu", Old: `mbarrier\.try_wait\.parity\.shared::cta\.b64 p, \[%r\d+\], %r\d+;`, New: "setp.eq.u32 p, 0, 0;", Nth: 2}, hopperGELU, "under way|nobody wrote|has not waited"},
	{"a wait for the wrong parity", cudatest.Mutation{File: "gemm_sm_90a", Kernel: "gemm_nt_gelu", Old: `mbarrier\.try_wait\.parity\.shared::cta\.b64 p, (\[%r\d+\]), (%r\d+);`, New: ".reg .b32 q; xor.b32 q, $2, 1; mbarrier.try_wait.parity.shared::cta.b64 p, $1, q;", Nth: 2}, hopperGELU, "under way|nobody wrote|deadlock|has not waited"},
	{"no wait for the other consumer", cudatest.Mutation{File: "gemm_sm_90a", Kernel: "gemm_nt", Old: `mbarrier\.try_wait\.parity\.shared::cta\.b64 p, \[%r\d+\], %r\d+;`, New: "setp.eq.u32 p, 0, 0;", Nth: 1}, hopperNT, "under way|nobody wrote|has not waited"},
	{"no wait for an empty stage", cudatest.Mutation{File: "gemm_sm_90a", Kernel: "gemm_nt_gelu", Old: `mbarrier\.try_wait\.parity\.shared::cta\.b64 p, \[%r\d+\], %r\d+;`, New: "setp.eq.u32 p, 0, 0;"}, hopperGELU, "race: copy|another copy|an arrival more"},
	{"too few bytes expected", cudatest.Mutation{File: "gemm_sm_90a", Kernel: "gemm_nt", Old: `(mov\.b32\s+%r\d+), 40960;`, New: "$1, 40448;"}, hopperNT, "bytes more came"},
	{"too many bytes expected", cudatest.Mutation{File: "gemm_sm_90a", Kernel: "gemm_nt", Old: `(mov\.b32\s+%r\d+), 40960;`, New: "$1, 41472;"}, hopperNT, "deadlock: mbarrier .* 0 of 1 arrivals and 512 bytes are missing"},
	{"no arrival at an empty stage", cudatest.Mutation{File: "gemm_sm_90a", Kernel: "gemm_nt_gelu", Old: `mbarrier\.arrive\.shared::cluster\.b64 _, \[a\];`}, hopperGELU, "deadlock: mbarrier"},
	{"a stage given back before its products are done", cudatest.Mutation{File: "gemm_sm_90a", Kernel: "gemm_nt_gelu", Old: `wgmma\.wait_group\.sync\.aligned 1;`, New: "wgmma.wait_group.sync.aligned 2;"}, hopperGELU, "reads or read with no barrier"},
	{"sums read before they are there", cudatest.Mutation{File: "gemm_sm_90a", Kernel: "gemm_nt", Old: `wgmma\.wait_group\.sync\.aligned 0;`, New: "wgmma.wait_group.sync.aligned 1;"}, hopperNT, "while a wgmma writes it"},
	{"products without a fence", cudatest.Mutation{File: "gemm_sm_90a", Kernel: "gemm_nt", Old: `wgmma\.fence\.sync\.aligned;`}, hopperNT, "without wgmma.fence"},
	{"products that nobody commits", cudatest.Mutation{File: "gemm_sm_90a", Kernel: "gemm_nt", Old: `wgmma\.commit_group\.sync\.aligned;`}, hopperNT, "while a wgmma writes it|deadlock|reads or read"},
	{"a wrong stride of K-major rows", cudatest.Mutation{File: "gemm_sm_90a", Kernel: "gemm_nt", Old: `4611686293305360384;`, New: "4611686155866406912;"}, hopperNT, "want"},
	{"another swizzle", cudatest.Mutation{File: "gemm_sm_90a", Kernel: "gemm_nt", Old: `4611686293305360384;`, New: "9223372311732748288;"}, hopperNT, "want"},
	{"16 terms at a wrong place", cudatest.Mutation{File: "gemm_sm_90a", Kernel: "gemm_nt", Old: `4611686293305360386;`, New: "4611686293305360385;"}, hopperNT, "want"},
	{"a wrong leading offset of MN-major columns", cudatest.Mutation{File: "gemm_sm_90a", Kernel: "gemm_nn", Old: `4611686293338849280;`, New: "4611686293322072064;"}, hopperNN, "want|nobody wrote"},
	{"a tile of B that is not transposed", cudatest.Mutation{File: "gemm_sm_90a", Kernel: "gemm_nn", Old: `p, 1, 1, 0, 1;`, New: "p, 1, 1, 0, 0;"}, hopperNN, "want"},
	{"no proxy fence before ones are read", cudatest.Mutation{File: "gemm_sm_90a", Kernel: "gemm_tn", Old: `fence\.proxy\.async\.shared::cta;`}, hopperTN, "no fence.proxy.async"},
	{"barriers that TMA does not see", cudatest.Mutation{File: "gemm_sm_90a", Kernel: "gemm_nt", Old: `fence\.mbarrier_init\.release\.cluster;`}, hopperNT, "no fence.mbarrier_init"},
	{"a half given to one block only", cudatest.Mutation{File: "gemm_sm_90a", Kernel: "gemm_nt", Old: `mov\.u16\s+(%rs\d+), 3;`, New: "mov.u16 $1, 1;"}, hopperNT, "deadlock|bytes more came"},
	{"a block that does not wait for its neighbour", cudatest.Mutation{File: "gemm_sm_90a", Kernel: "gemm_nt", Old: `barrier\.cluster\.arrive\.release;\s*barrier\.cluster\.wait\.acquire;`, Nth: 1}, hopperNT, "has ended"},
}

// TestMutations puts bugs into kernels and runs their tests, in processes of their own: they must fail, and pass without the bug.
func TestMutations(t *testing.T) {
	if testing.Short() || cudatest.Hardware() {
		t.Skip("it runs many tests")
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	run := func(test string, environment ...string) (string, bool) {
		c := exec.Command(program, "-test.run="+test, "-test.v", "-test.timeout=5m")
		c.Env = append(append(os.Environ(), "GOMAXPROCS=1"), environment...)
		out, err := c.CombinedOutput()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		return string(out), err == nil
	}
	sound := map[string]bool{}
	for _, m := range mutations {
		sound[m.test] = true
	}
	for test := range sound {
		t.Run("sound", func(t *testing.T) {
			t.Parallel()
			if out, ok := run(test); !ok || !strings.Contains(out, "--- PASS") {
				t.Errorf("%s, with no bug:\n%s", test, out)
			}
		})
	}
	for _, m := range mutations {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			text, err := cuda.PTX(m.bug.File)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := m.bug.Apply(text); err != nil {
				t.Fatalf("this bug cannot be put in: %v", err)
			}
			out, ok := run(m.test, m.bug.Environment())
			if ok {
				t.Fatalf("%s does not find it", m.test)
			}
			if strings.Contains(out, "does not know") || !strings.Contains(out, "--- FAIL") || !regexp.MustCompile(m.found).MatchString(failures(out)) {
				t.Errorf("%s fails otherwise than by %q:\n%s", m.test, m.found, out)
			}
			t.Log(first(failures(out)))
		})
	}
}

// failures is what failing tests printed.
func failures(out string) string {
	var lines []string
	for _, line := range strings.Split(out, "\n") {
		if !strings.HasPrefix(strings.TrimSpace(line), "--- PASS") && !strings.HasPrefix(line, "=== ") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "\n")
}

func first(s string) string {
	for _, line := range strings.Split(s, "\n") {
		if strings.Contains(line, "_test.go:") || strings.Contains(line, "cudatest.go:") {
			return strings.TrimSpace(line)
		}
	}
	return s
}
