package report

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"image"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/godino-ml/godino/dino/dataset"
	"github.com/godino-ml/godino/internal/shapes"
)

// served is a run of 8 steps with a server over it.
func served(t *testing.T, o ServerOptions) *Server {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
		writeLog(t, o.Dir, lines(8))
	}
	s, err := NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func request(s http.Handler, method, target string, body []byte, change func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "http://localhost:7070"+target, bytes.NewReader(body))
	if change != nil {
		change(r)
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

func pngOf(t *testing.T, img image.Image) []byte {
	t.Helper()
	b, err := encoded(img)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func asPNG(r *http.Request) { r.Header.Set("Content-Type", "image/png") }

// echo is an attention that draws the picture itself.
func echo(_ context.Context, img *dataset.RGB) (*Attention, error) {
	b, err := encoded(img.Image())
	return &Attention{Title: "echo", Pictures: []Drawing{{"mean", b}}}, err
}

func TestServerRefuses(t *testing.T) {
	s := served(t, ServerOptions{Hosts: Loopback(), Attention: echo, MaxBytes: 10_000, MaxPixels: 1000})
	if err := os.WriteFile(filepath.Join(s.o.Dir, "secret.txt"), []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	small := pngOf(t, shapes.Picture(1, 0, 20))
	host := func(h string) func(*http.Request) { return func(r *http.Request) { r.Host = h } }
	header := func(kv ...string) func(*http.Request) {
		return func(r *http.Request) {
			asPNG(r)
			for i := 0; i < len(kv); i += 2 {
				r.Header.Set(kv[i], kv[i+1])
			}
		}
	}
	for _, c := range []struct {
		what, method, target string
		body                 []byte
		change               func(*http.Request)
		status               int
	}{
		{"the page", "GET", "/", nil, nil, 200},
		{"by address", "GET", "/", nil, host("127.0.0.1:7070"), 200},
		{"by IPv6 address", "GET", "/", nil, host("[::1]:7070"), 200},
		{"by name alone", "GET", "/", nil, host("LOCALHOST"), 200},
		{"a name made to resolve here", "GET", "/", nil, host("evil.example:7070"), 421},
		{"a name that begins alike", "GET", "/", nil, host("localhost.evil.example"), 421},
		{"no name", "GET", "/", nil, host(""), 421},
		{"a name made to resolve here, metrics", "GET", "/metrics", nil, host("evil.example"), 421},
		{"a file of the run", "GET", "/secret.txt", nil, nil, 404},
		{"the log", "GET", "/log.jsonl", nil, nil, 404},
		{"out of the run", "GET", "/%2e%2e/%2e%2e/etc/passwd", nil, nil, 404},
		{"the page by POST", "POST", "/", nil, nil, 405},
		{"a picture", "POST", "/attention", small, asPNG, 200},
		{"by GET", "GET", "/attention", nil, nil, 405},
		{"from the page itself", "POST", "/attention", small, header("Sec-Fetch-Site", "same-origin"), 200},
		{"from another site", "POST", "/attention", small, header("Sec-Fetch-Site", "cross-site"), 403},
		{"from another origin", "POST", "/attention", small, header("Origin", "http://evil.example"), 403},
		{"as a form", "POST", "/attention", small, header("Content-Type", "multipart/form-data"), 415},
		{"of no type", "POST", "/attention", small, func(r *http.Request) { r.Header.Del("Content-Type") }, 415},
		{"no picture", "POST", "/attention", []byte("<html>"), asPNG, 422},
		{"nothing", "POST", "/attention", nil, asPNG, 422},
		{"cut off", "POST", "/attention", small[:len(small)/2], asPNG, 422},
		{"too many pixels", "POST", "/attention", pngOf(t, image.NewGray(image.Rect(0, 0, 40, 40))), asPNG, 413},
		{"too many bytes", "POST", "/attention", bytes.Repeat([]byte{1}, 10_001), asPNG, 413},
	} {
		w := request(s, c.method, c.target, c.body, c.change)
		if w.Code != c.status {
			t.Errorf("%s: status %d, want %d: %.200s", c.what, w.Code, c.status, w.Body)
		}
		if strings.Contains(w.Body.String(), "secret") || strings.Contains(w.Body.String(), "root:") {
			t.Errorf("%s: gives a file out", c.what)
		}
		if w.Header().Get("Content-Security-Policy") == "" || w.Header().Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: headers %v", c.what, w.Header())
		}
	}
	if _, err := NewServer(ServerOptions{Dir: filepath.Join(s.o.Dir, "secret.txt")}); err == nil {
		t.Error("a file is served as a run")
	}
}

func TestServerToken(t *testing.T) {
	s := served(t, ServerOptions{Token: "TOKEN"})
	cookie := func(v string) func(*http.Request) {
		return func(r *http.Request) { r.AddCookie(&http.Cookie{Name: cookieName, Value: v}) }
	}
	bearer := func(v string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set("Authorization", v) }
	}
	for _, target := range []string{"/", "/metrics", "/version", "/live.js", "/none"} {
		for what, change := range map[string]func(*http.Request){"nothing": nil, "a wrong cookie": cookie("TOKE"), "an empty cookie": cookie(""),
			"a wrong header": bearer("Bearer TOKENX"), "an empty header": bearer("Bearer ")} {
			if w := request(s, "GET", target, nil, change); w.Code != 401 || strings.Contains(w.Body.String(), "loss") {
				t.Errorf("%s with %s: %d", target, what, w.Code)
			}
		}
	}
	if w := request(s, "GET", "/?token=", nil, nil); w.Code != 401 {
		t.Error("an empty token:", w.Code)
	}
	if w := request(s, "POST", "/attention?token=TOKEN", nil, asPNG); w.Code != 401 {
		t.Error("a token in the address of a POST:", w.Code)
	}
	w := request(s, "GET", "/?token=TOKEN", nil, nil)
	if w.Code != 303 || w.Header().Get("Location") != "/" {
		t.Fatalf("the token: %d to %q", w.Code, w.Header().Get("Location"))
	}
	c := w.Result().Cookies()[0]
	if !c.HttpOnly || c.SameSite != http.SameSiteStrictMode {
		t.Errorf("cookie %v", c)
	}
	for what, change := range map[string]func(*http.Request){"the cookie": func(r *http.Request) { r.AddCookie(c) }, "a header": bearer("Bearer TOKEN")} {
		if w := request(s, "GET", "/", nil, change); w.Code != 200 || !strings.Contains(w.Body.String(), "live.js") {
			t.Errorf("with %s: %d", what, w.Code)
		}
	}
	if w := request(s, "GET", "/metrics?token=TOKEN", nil, nil); w.Code != 200 {
		t.Error("metrics by address:", w.Code)
	}
}

// While a picture is at work the next one is told to wait, not held in memory.
func TestServerOneAtATime(t *testing.T) {
	inside, leave := make(chan struct{}), make(chan struct{})
	s := served(t, ServerOptions{Attention: func(ctx context.Context, img *dataset.RGB) (*Attention, error) {
		close(inside)
		<-leave
		return echo(ctx, img)
	}})
	small := pngOf(t, shapes.Picture(1, 0, 20))
	first := make(chan int)
	go func() { first <- request(s, "POST", "/attention", small, asPNG).Code }()
	<-inside
	if w := request(s, "POST", "/attention", small, asPNG); w.Code != 503 || w.Header().Get("Retry-After") == "" {
		t.Errorf("a second picture: %d", w.Code)
	}
	close(leave)
	if code := <-first; code != 200 {
		t.Errorf("the first picture: %d", code)
	}
}

func TestServerAnswers(t *testing.T) {
	s := served(t, ServerOptions{Attention: echo})
	img := shapes.Picture(1, 0, 20)
	var answer struct {
		Title    string
		Pictures []struct{ Caption, URL string }
	}
	if err := json.Unmarshal(request(s, "POST", "/attention", pngOf(t, img), asPNG).Body.Bytes(), &answer); err != nil {
		t.Fatal(err)
	}
	if answer.Title != "echo" || len(answer.Pictures) != 1 || answer.Pictures[0].Caption != "mean" || !strings.HasPrefix(answer.Pictures[0].URL, "data:image/png;base64,") {
		t.Errorf("answer %+v", answer)
	}
	version := func() string { return request(s, "GET", "/version", nil, nil).Body.String() }
	w := request(s, "GET", "/", nil, nil)
	if v := w.Header().Get("X-Run-Version"); v != version() || v == "" || !strings.Contains(w.Body.String(), `<dd id="epoch">2</dd>`) {
		t.Errorf("version %q, %q", v, version())
	}
	writeLog(t, s.o.Dir, lines(12))
	if version() == w.Header().Get("X-Run-Version") {
		t.Error("the run went on, the version stayed")
	}
	if again := request(s, "GET", "/", nil, nil); !strings.Contains(again.Body.String(), `<dd id="epoch">3</dd>`) {
		t.Error("the run went on, the page stayed")
	}
	if m := request(s, "GET", "/metrics", nil, nil); !strings.Contains(m.Body.String(), "\ndino_steps 12\n") {
		t.Error(m.Body.String())
	}
	// Before a run has written anything.
	if w := request(served(t, ServerOptions{Dir: t.TempDir()}), "GET", "/", nil, nil); w.Code != 200 {
		t.Errorf("no log yet: %d %s", w.Code, w.Body)
	}
}

// TestBrowser loads the live page in a browser, has the run go on, and drops a picture on the page. GODINO_CHROMIUM names the browser.
func TestBrowser(t *testing.T) {
	browser := os.Getenv("GODINO_CHROMIUM")
	if browser == "" {
		t.Skip("GODINO_CHROMIUM names no Chromium")
	}
	dropped := false
	s := served(t, ServerOptions{Hosts: Loopback(), Attention: func(ctx context.Context, img *dataset.RGB) (*Attention, error) {
		dropped = true
		if img.W != 24 || img.H != 16 {
			return nil, fmt.Errorf("%d×%d px", img.W, img.H)
		}
		return echo(ctx, img)
	}})
	const drop = `const c = document.createElement('canvas'); c.width = 24; c.height = 16; c.getContext('2d').fillRect(0, 0, 9, 9);
c.toBlob(b => { const t = new DataTransfer(); t.items.add(new File([b], 'cat.png', { type: 'image/png' }));
document.getElementById('drop').dispatchEvent(new DragEvent('drop', { dataTransfer: t, bubbles: true, cancelable: true })); });`
	var mu sync.Mutex
	asked, strangers := 0, []string{}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		switch r.URL.Path {
		case "/drop.js": // what a hand does
			w.Header().Set("Content-Type", "text/javascript")
			io.WriteString(w, drop)
			return
		case "/version":
			if asked++; asked == 2 { // the page was shown: the run goes on
				writeLog(t, s.o.Dir, lines(12))
			}
		case "/":
			if asked == 0 {
				rec := httptest.NewRecorder()
				s.ServeHTTP(rec, r)
				for k, v := range rec.Header() {
					w.Header()[k] = v
				}
				io.WriteString(w, strings.Replace(rec.Body.String(), "</body>", `<script src="/drop.js" defer></script></body>`, 1))
				return
			}
		case "/live.js", "/attention", "/favicon.ico":
		default:
			strangers = append(strangers, r.URL.Path)
		}
		s.ServeHTTP(w, r)
	}))
	defer srv.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	dom := func(url string) string {
		t.Helper()
		// Virtual time: the clock jumps over what nothing happens in, and stands while a request is under way.
		out, err := exec.CommandContext(ctx, browser, "--headless", "--no-sandbox", "--disable-gpu", "--user-data-dir="+t.TempDir(),
			"--virtual-time-budget=15000", "--dump-dom", url).Output()
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	page := dom(srv.URL + "/")
	for _, w := range []string{`<dd id="epoch">3</dd>`, "cat.png, seen by echo", `<figcaption>mean</figcaption>`, `<span id="live">live</span>`} {
		if !strings.Contains(page, w) {
			t.Errorf("the page in the browser lacks %q (asked for its version %d times, picture dropped: %v)", w, asked, dropped)
		}
	}
	if len(strangers) > 0 {
		t.Error("the page asks for", strangers)
	}
	// The page as a file: whole without a script.
	if _, err := Write(s.o.Dir); err != nil {
		t.Fatal(err)
	}
	if page := dom("file://" + filepath.Join(s.o.Dir, PageName)); !strings.Contains(page, `<dd id="epoch">3</dd>`) {
		t.Error("report.html does not show in the browser")
	}
}
