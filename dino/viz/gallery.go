package viz

import (
	"encoding/base64"
	"html/template"
	"io"
)

// Gallery is a page of pictures in groups: what a search found, what is nearly the same, what stands out.
type Gallery struct {
	Title  string
	Notes  []string // lines below the title
	Groups []GalleryGroup
}

// GalleryGroup are pictures under a heading.
type GalleryGroup struct {
	Heading  string
	Query    *GalleryPicture // drawn first, with a frame; nil for none
	Pictures []GalleryPicture
}

// GalleryPicture is a picture and what is said of it.
type GalleryPicture struct {
	Name string
	Note string
	Src  template.URL // as a data URI, see [DataURI]; "" where the picture cannot be shown
}

// DataURI is a picture's file as an address that holds it. kind is its media type, as image/jpeg.
func DataURI(kind string, file []byte) template.URL {
	return template.URL("data:" + kind + ";base64," + base64.StdEncoding.EncodeToString(file))
}

// Write writes the page as one file of HTML that needs no other, no script and no network. Names are text, whatever is in them.
func (g *Gallery) Write(w io.Writer) error { return galleryPage.Execute(w, g) }

var galleryPage = template.Must(template.New("gallery").Parse(`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{.Title}}</title>
<style>
body { font: 15px/1.4 system-ui, sans-serif; margin: 1.5rem; color: #222; background: #fff; }
h1 { font-size: 1.4rem; margin: 0 0 .3rem; }
h2 { font-size: 1rem; margin: 1.6rem 0 .5rem; overflow-wrap: anywhere; }
p { margin: 0; color: #555; overflow-wrap: anywhere; }
.row { display: flex; flex-wrap: wrap; gap: .8rem; }
figure { margin: 0; width: 10rem; }
figure div { height: 10rem; display: flex; align-items: center; justify-content: center; background: #f3f3f3; color: #888; font-size: 12px; }
figure.query div { outline: 3px solid #2a788e; }
img { max-width: 100%; max-height: 100%; display: block; }
figcaption { font-size: 12px; overflow-wrap: anywhere; }
figcaption b { display: block; font-variant-numeric: tabular-nums; }
@media (prefers-color-scheme: dark) { body { color: #ddd; background: #181818; } p { color: #aaa; } figure div { background: #262626; } }
</style>
</head>
<body>
<h1>{{.Title}}</h1>
{{range .Notes}}<p>{{.}}</p>
{{end}}{{define "picture"}}<div>{{if .Src}}<img src="{{.Src}}" alt="{{.Name}}" loading="lazy">{{else}}no picture{{end}}</div><figcaption>{{if .Note}}<b>{{.Note}}</b>{{end}}{{.Name}}</figcaption></figure>
{{end}}{{range .Groups}}<h2>{{.Heading}}</h2>
<div class="row">
{{with .Query}}<figure class="query">{{template "picture" .}}{{end}}{{range .Pictures}}<figure>{{template "picture" .}}{{end}}</div>
{{end}}</body>
</html>
`))
