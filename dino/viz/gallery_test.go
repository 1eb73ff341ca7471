package viz

import (
	"bytes"
	"strings"
	"testing"
)

func TestGalleryEscapesNames(t *testing.T) {
	bad := `"><script>alert(1)</script>` + "\n\xff"
	g := Gallery{Title: bad, Notes: []string{bad}, Groups: []GalleryGroup{{Heading: bad, Query: &GalleryPicture{Name: bad, Note: bad, Src: DataURI("image/jpeg", []byte{1, 2, 3})},
		Pictures: []GalleryPicture{{Name: bad}}}}}
	var b bytes.Buffer
	if err := g.Write(&b); err != nil {
		t.Fatal(err)
	}
	page := b.String()
	if strings.Contains(page, "<script") || strings.Contains(page, `"">`) {
		t.Errorf("a name is not text:\n%s", page)
	}
	for _, want := range []string{`src="data:image/jpeg;base64,AQID"`, "no picture", "default-src 'none'", "alert(1)"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q:\n%s", want, page)
		}
	}
	if n := strings.Count(page, "<figure"); n != 2 || strings.Count(page, "</figure>") != n {
		t.Errorf("%d figures, want 2, each ended", n)
	}
	for _, remote := range []string{"http://", "https://", "//"} {
		if strings.Contains(page, remote) {
			t.Errorf("the page names an address on the network: %s", remote)
		}
	}
}
