// Command neighbours answers a picture with the most similar ones of a folder, by the features of a network that dino train has trained:
//
//	go run ./examples/neighbours runs/photos/checkpoint.safetensors photos
//	curl --data-binary @cat.jpg 'localhost:8080/?k=5'
//
// It computes the folder's features when it starts. An index that is kept on disk is dino/search's Update and Open.
package main

import (
	"context"
	"encoding/json"
	"io"
	"log"
	"net/http"
	"os"
	"strconv"

	"github.com/godino-ml/godino/dino"
	"github.com/godino-ml/godino/dino/augment"
	"github.com/godino-ml/godino/dino/dataset"
	"github.com/godino-ml/godino/dino/search"
	"github.com/godino-ml/godino/nn"
	"github.com/godino-ml/godino/tensor"
)

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: neighbours WEIGHTS FOLDER")
	}
	backbone, err := dino.LoadBackbone(tensor.CPU(), os.Args[1], dino.BackboneOptions{})
	if err != nil {
		log.Fatal(err)
	}
	ds, err := dataset.Open(os.Args[2], dataset.Options{})
	if err != nil {
		log.Fatal(err)
	}
	h, err := newHandler(context.Background(), backbone.VisionTransformer, backbone.EvalTransform(0), ds)
	if err != nil {
		log.Fatal(err)
	}
	log.Printf("%d pictures; listening on localhost:8080", h.rows.Len())
	http.Handle("POST /", h)
	log.Fatal(http.ListenAndServe("localhost:8080", nil))
}

// handler answers with neighbours. It only reads its fields, so requests may come at once.
type handler struct {
	backbone  *nn.VisionTransformer
	transform augment.Eval
	rows      search.Rows // features of length 1
	paths     []string    // of each row
}

func newHandler(ctx context.Context, backbone *nn.VisionTransformer, transform augment.Eval, ds *dataset.Dataset) (*handler, error) {
	h := &handler{backbone: backbone, transform: transform}
	set, err := dino.Features(ctx, tensor.CPU(), backbone, ds, transform, dino.FeatureOptions{EvalOptions: dino.EvalOptions{MaxBad: 1}})
	if err != nil {
		return nil, err
	}
	for _, i := range set.Index {
		h.paths = append(h.paths, ds.Path(i))
	}
	h.rows = search.Rows{Data: set.Data, Dim: set.Dim}
	return h, h.rows.Normalize()
}

type neighbour struct {
	Path       string  `json:"path"`
	Similarity float64 `json:"similarity"` // cosine
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	k, err := strconv.Atoi(r.URL.Query().Get("k"))
	if err != nil || k < 1 {
		k = 10
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 16<<20))
	if err != nil {
		http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
		return
	}
	picture, err := dataset.Decode(body, "the request", 50_000_000) // refuses what would be larger before it is decoded
	if err != nil {
		http.Error(w, err.Error(), http.StatusUnsupportedMediaType)
		return
	}
	one := dataset.FromFunc("the request", 1, nil, nil, func(int) (*dataset.RGB, error) { return picture, nil })
	set, err := dino.Features(r.Context(), tensor.CPU(), h.backbone, one, h.transform, dino.FeatureOptions{})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	query := search.Rows{Data: set.Data, Dim: set.Dim}
	if err := query.Normalize(); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	found, err := search.Nearest(tensor.CPU(), h.rows, query, k)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	answer := []neighbour{}
	for _, m := range found[0] {
		answer = append(answer, neighbour{h.paths[m.Row], m.Similarity})
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(answer)
}
