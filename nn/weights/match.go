package weights

import (
	"fmt"
	"slices"
	"strings"
)

// MatchReport compares the arrays a model wants with those a file has. Weights are loaded only when all of them match.
type MatchReport struct {
	Want, Matched int
	Missing       []Entry // wanted, not there
	Extra         []Entry // there, not wanted
	Reshaped      []Reshaped
	want, have    Identity
}

// Reshaped is an array that is there in another shape.
type Reshaped struct {
	Name       string
	Want, Have []int
}

// Match compares names and shapes. The order of both lists is free.
func Match(want, have []Entry) *MatchReport {
	r := &MatchReport{Want: len(want), want: Identify(want), have: Identify(have)}
	byName := map[string]Entry{}
	for _, e := range have {
		byName[e.Name] = e
	}
	for _, w := range want {
		h, ok := byName[w.Name]
		switch {
		case !ok:
			r.Missing = append(r.Missing, w)
		case !slices.Equal(w.Shape, h.Shape):
			r.Reshaped = append(r.Reshaped, Reshaped{w.Name, w.Shape, h.Shape})
		default:
			r.Matched++
		}
		delete(byName, w.Name)
	}
	for _, h := range have {
		if _, left := byName[h.Name]; left {
			r.Extra = append(r.Extra, h)
		}
	}
	return r
}

// OK says whether every wanted array is there in its shape, and nothing else.
func (r *MatchReport) OK() bool {
	return r.Matched == r.Want && len(r.Missing)+len(r.Extra)+len(r.Reshaped) == 0
}

// Err is nil when everything matches, else the report.
func (r *MatchReport) Err() error {
	if r.OK() {
		return nil
	}
	return r
}

// Error says how much matches, what the file looks like, and what differs.
func (r *MatchReport) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d of %d tensors match", r.Matched, r.Want)
	if r.want.Known() {
		fmt.Fprintf(&b, " %s", r.want)
	}
	switch w, h := r.want, r.have; {
	case !h.Known():
		b.WriteString("; the file does not look like a Vision Transformer of this family")
	case w.Arch() != h.Arch() || w.Patch != h.Patch:
		fmt.Fprintf(&b, "; they look like %s: use --arch %s --patch_size %d", h, h.Arch(), h.Patch)
	case w.Tokens != h.Tokens:
		fmt.Fprintf(&b, "; the position embedding is for %s, the model's is for %s: build the model at the file's image size",
			h.grid(), w.grid())
	}
	list := func(what string, n int, item func(i int) string) {
		if n == 0 {
			return
		}
		fmt.Fprintf(&b, "\n%d %s:", n, what)
		const shown = 12
		for i := range min(n, shown) {
			b.WriteString("\n  " + item(i))
		}
		if n > shown {
			fmt.Fprintf(&b, "\n  and %d more", n-shown)
		}
	}
	list("missing", len(r.Missing), func(i int) string { return r.Missing[i].String() })
	list("extra", len(r.Extra), func(i int) string { return r.Extra[i].String() })
	list("of another shape", len(r.Reshaped), func(i int) string {
		e := r.Reshaped[i]
		return fmt.Sprintf("%s: %s in the file, %s in the model", e.Name, shapeString(e.Have), shapeString(e.Want))
	})
	return b.String()
}

// Identity is what a Vision Transformer's shapes tell about it. Heads are not in the shapes: all models of the family have 64
// dimensions a head, so Heads is Dim/64, a guess, and 0 where Dim does not divide.
type Identity struct {
	Dim, Depth, Patch, Heads int
	Hidden                   int // width of the MLP
	Tokens                   int // of the position embedding, with the class token
	Registers                int
	LayerScale               bool
}

// Identify reads an architecture off names and shapes.
func Identify(entries []Entry) Identity {
	var id Identity
	for _, e := range entries {
		switch {
		case e.Name == "patch_embed.proj.weight" && len(e.Shape) == 4: // (dim, 3, patch, patch)
			id.Dim, id.Patch = e.Shape[0], e.Shape[3]
		case e.Name == "pos_embed" && len(e.Shape) == 3: // (1, tokens, dim)
			id.Tokens = e.Shape[1]
		case e.Name == "blocks.0.mlp.fc1.weight" && len(e.Shape) == 2: // (hidden, dim)
			id.Hidden = e.Shape[0]
		case e.Name == "register_tokens" && len(e.Shape) == 3: // (1, registers, dim)
			id.Registers = e.Shape[1]
		case e.Name == "blocks.0.ls1.gamma":
			id.LayerScale = true
		}
		var block int
		if n, _ := fmt.Sscanf(e.Name, "blocks.%d.", &block); n == 1 && block >= 0 && block < 1000 {
			id.Depth = max(id.Depth, block+1)
		}
	}
	if id.Dim%64 == 0 {
		id.Heads = id.Dim / 64
	}
	return id
}

// Known says whether the shapes were those of a Vision Transformer.
func (id Identity) Known() bool { return id.Dim > 0 && id.Depth > 0 && id.Patch > 0 }

// Arch is the value of --arch: a name of the family, or "vit:dim=...", with what it has besides.
func (id Identity) Arch() string {
	name, options := "", []string{}
	if id.Depth == 12 && id.Hidden == 4*id.Dim {
		name = map[int]string{192: "vit_tiny", 384: "vit_small", 768: "vit_base"}[id.Dim]
	}
	if name == "" {
		name = "vit"
		heads := "?"
		if id.Heads > 0 {
			heads = fmt.Sprint(id.Heads)
		}
		options = append(options, fmt.Sprintf("dim=%d,depth=%d,heads=%s", id.Dim, id.Depth, heads))
		if id.Dim > 0 && id.Hidden > 0 && id.Hidden != 4*id.Dim {
			options = append(options, fmt.Sprintf("mlp_ratio=%g", float64(id.Hidden)/float64(id.Dim)))
		}
	}
	if id.Registers > 0 {
		options = append(options, fmt.Sprintf("registers=%d", id.Registers))
	}
	if id.LayerScale {
		options = append(options, "layer_scale=1e-05") // where training starts; what the factors are now, the file says
	}
	if len(options) == 0 {
		return name
	}
	return name + ":" + strings.Join(options, ",")
}

// String is "vit_small/16".
func (id Identity) String() string { return fmt.Sprintf("%s/%d", id.Arch(), id.Patch) }

// grid describes the position embedding's size.
func (id Identity) grid() string {
	for n := 1; n*n <= id.Tokens-1; n++ {
		if n*n == id.Tokens-1 {
			return fmt.Sprintf("%d×%d patches (images of %d px)", n, n, n*id.Patch)
		}
	}
	return fmt.Sprintf("%d tokens", id.Tokens)
}
