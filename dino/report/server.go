package report

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"mime"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/godino-ml/godino/dino"
	"github.com/godino-ml/godino/dino/dataset"
)

//go:embed live.js
var liveScript []byte

// Attention is where a network looks in a picture, as drawings.
type Attention struct {
	Title    string // the network
	Pictures []Drawing
}

// Drawing is a picture with its caption.
type Drawing struct {
	Caption string
	PNG     []byte
}

// ServerOptions says what a server shows and to whom.
type ServerOptions struct {
	Dir string // of the run
	// Token is what a visitor must know, by ?token= once, a cookie after that, or an Authorization header. "" asks for nothing, which is for
	// loopback alone.
	Token string
	// Hosts are the names, without a port, that a request may call the server by: against a name of somebody else's that is made to resolve to
	// this machine. nil takes any.
	Hosts []string
	// Attention is called for one picture at a time; nil has the page say that there is none.
	Attention func(ctx context.Context, img *dataset.RGB) (*Attention, error)
	MaxBytes  int64 // of a picture's file; 0 means 32 MiB
	MaxPixels int   // of a picture; 0 means 40 million
}

// Loopback are the names of the machine itself.
func Loopback() []string { return []string{"localhost", "127.0.0.1", "::1"} }

// Server shows a run in a browser. It gives out the page, its script, the run's numbers and what it is asked to draw: no file of the run by
// name.
type Server struct {
	o      ServerOptions
	routes http.Handler
	drawn  chan struct{} // holds a token while a picture is at work

	mu      sync.Mutex
	log     *Log
	version string // of the files that page was made from
	page    []byte
}

// NewServer makes the server of a run, which may go on or be done.
func NewServer(o ServerOptions) (*Server, error) {
	if o.MaxBytes == 0 {
		o.MaxBytes = 32 << 20
	}
	if o.MaxPixels == 0 {
		o.MaxPixels = 40_000_000
	}
	if info, err := os.Stat(o.Dir); err != nil {
		return nil, err
	} else if !info.IsDir() {
		return nil, fmt.Errorf("%s is not a folder", o.Dir)
	}
	s := &Server{o: o, drawn: make(chan struct{}, 1), log: &Log{path: filepath.Join(o.Dir, dino.LogName)}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.servePage)
	mux.HandleFunc("GET /live.js", serveScript)
	mux.HandleFunc("GET /version", s.serveVersion)
	mux.HandleFunc("GET /metrics", s.serveMetrics)
	mux.HandleFunc("POST /attention", s.serveAttention)
	// No other site's page may make a browser post here.
	s.routes = http.NewCrossOriginProtection().Handler(mux)
	return s, nil
}

// HTTPServer is a server with limits on how long and how large a request may be.
func (s *Server) HTTPServer() *http.Server {
	return &http.Server{Handler: s, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: time.Minute, WriteTimeout: 2 * time.Minute,
		IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10}
}

// ServeHTTP answers a request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'self'; connect-src 'self'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	if !s.knownHost(r.Host) {
		http.Error(w, fmt.Sprintf("this server does not answer to the name %q", r.Host), http.StatusMisdirectedRequest)
		return
	}
	if s.o.Token != "" && !s.admitted(w, r) {
		return
	}
	s.routes.ServeHTTP(w, r)
}

func (s *Server) knownHost(host string) bool {
	if s.o.Hosts == nil {
		return true
	}
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	}
	for _, h := range s.o.Hosts {
		if strings.EqualFold(name, h) {
			return true
		}
	}
	return false
}

const cookieName = "dino_token"

// admitted says whether the visitor knows the token, and answers if not, or if the token came in the address, which is then cleaned of it.
func (s *Server) admitted(w http.ResponseWriter, r *http.Request) bool {
	if given := r.URL.Query().Get("token"); s.isToken(given) && r.Method == http.MethodGet {
		http.SetCookie(w, &http.Cookie{Name: cookieName, Value: given, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode})
		if r.URL.Path == "/" { // a browser; the token stays out of its history
			http.Redirect(w, r, "/", http.StatusSeeOther)
			return false
		}
		return true
	}
	if given, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok && s.isToken(given) {
		return true
	}
	if c, err := r.Cookie(cookieName); err == nil && s.isToken(c.Value) {
		return true
	}
	w.Header().Set("WWW-Authenticate", "Bearer")
	http.Error(w, "open the address that dino serve printed, with its ?token=", http.StatusUnauthorized)
	return false
}

// isToken compares sums, in a time that tells nothing of the token, its length included.
func (s *Server) isToken(given string) bool {
	a, b := sha256.Sum256([]byte(given)), sha256.Sum256([]byte(s.o.Token))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1
}

// refresh reads the log on, and makes the page again if its files have changed. The caller holds mu.
func (s *Server) refresh() error {
	version := s.stamp()
	if s.page != nil && version == s.version {
		return nil
	}
	if err := s.log.Update(); err != nil && !errors.Is(err, fs.ErrNotExist) { // a run that is about to begin has no log
		return err
	}
	var b bytes.Buffer
	if err := render(&b, s.o.Dir, s.log, true); err != nil {
		return err
	}
	s.page, s.version = b.Bytes(), version
	return nil
}

// stamp names the state of the run's files.
func (s *Server) stamp() string {
	sum := sha256.New()
	add := func(info fs.FileInfo, err error) {
		if err == nil {
			fmt.Fprintln(sum, info.Name(), info.Size(), info.ModTime().UnixNano())
		}
	}
	add(os.Stat(filepath.Join(s.o.Dir, dino.LogName)))
	add(os.Stat(filepath.Join(s.o.Dir, "config.json")))
	entries, _ := os.ReadDir(filepath.Join(s.o.Dir, partsName))
	for _, e := range entries {
		add(e.Info())
	}
	return fmt.Sprintf("%x", sum.Sum(nil)[:12])
}

func (s *Server) servePage(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	err := s.refresh()
	page, version := s.page, s.version
	s.mu.Unlock()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("X-Run-Version", version)
	w.Write(page)
}

func serveScript(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/javascript; charset=utf-8")
	w.Write(liveScript)
}

// serveVersion is what the page asks every few seconds.
func (s *Server) serveVersion(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprint(w, s.stamp())
}

// serveAttention draws where the network looks in the picture that is the request's body.
func (s *Server) serveAttention(w http.ResponseWriter, r *http.Request) {
	if s.o.Attention == nil {
		http.Error(w, "no network to look with", http.StatusNotImplemented)
		return
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || !strings.HasPrefix(kind, "image/") && kind != "application/octet-stream" {
		http.Error(w, "the body must be a picture: Content-Type image/…", http.StatusUnsupportedMediaType)
		return
	}
	// One at a time, from the first byte on: what pictures hold in memory is bounded by one.
	select {
	case s.drawn <- struct{}{}:
		defer func() { <-s.drawn }()
	default:
		w.Header().Set("Retry-After", "2")
		http.Error(w, "another picture is at work: try again", http.StatusServiceUnavailable)
		return
	}
	var body bytes.Buffer
	if _, err := body.ReadFrom(http.MaxBytesReader(w, r.Body, s.o.MaxBytes)); err != nil {
		status := http.StatusBadRequest
		if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
			status = http.StatusRequestEntityTooLarge
		}
		http.Error(w, err.Error(), status)
		return
	}
	img, err := dataset.Decode(body.Bytes(), "sent", s.o.MaxPixels)
	if err != nil {
		status := http.StatusUnprocessableEntity
		if errors.Is(err, dataset.ErrTooLarge) {
			status = http.StatusRequestEntityTooLarge
		}
		http.Error(w, err.Error(), status)
		return
	}
	a, err := s.o.Attention(r.Context(), img)
	if err != nil {
		http.Error(w, err.Error(), http.StatusUnprocessableEntity)
		return
	}
	type drawing struct {
		Caption string       `json:"caption"`
		URL     template.URL `json:"url"`
	}
	answer := struct {
		Title    string    `json:"title"`
		Pictures []drawing `json:"pictures"`
	}{Title: a.Title}
	for _, p := range a.Pictures {
		answer.Pictures = append(answer.Pictures, drawing{p.Caption, dataURL("image/png", p.PNG)})
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(answer)
}
