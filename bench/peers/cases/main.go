// Command cases writes what the peers are to measure into a folder: products.txt, "M N K" a line, for gemm.c; cases.json for torch.py; and
// picture.jpg. So peers measure what internal/measure lists.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/godino-ml/godino/internal/measure"
	"github.com/godino-ml/godino/nn"
)

type step struct {
	Name               string `json:"name"`
	Dim, Depth, Heads  int
	Patch              int
	Global, Local      int // sides of the crops
	Locals             int
	Batch, K           int
	Hidden, Bottleneck int
	ModelFLOPs         float64 // of one step
}

type embed struct {
	Name               string `json:"name"`
	Dim, Depth, Heads  int
	Patch, Size, Batch int
	ModelFLOPs         float64 // of one batch
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: cases FOLDER")
		os.Exit(2)
	}
	if err := write(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "cases:", err)
		os.Exit(1)
	}
}

func write(dir string) error {
	var products strings.Builder
	for _, s := range measure.Products {
		fmt.Fprintln(&products, s[0], s[1], s[2])
	}
	var steps []step
	for _, s := range measure.Steps {
		c := s.Config
		v, err := c.ViT()
		if err != nil {
			return err
		}
		steps = append(steps, step{s.Name, v.Dim, v.Depth, v.Heads, v.PatchSize, c.GlobalCropsSize, c.LocalCropsSize, c.LocalCropsNumber,
			c.BatchSize, c.OutDim, c.HeadHiddenDim, c.HeadBottleneckDim, s.ModelFLOPs()})
	}
	var embeds []embed
	for _, s := range measure.Embeds {
		v, err := nn.ParseArch(s.Arch, s.Patch, s.Size)
		if err != nil {
			return err
		}
		embeds = append(embeds, embed{s.Name, v.Dim, v.Depth, v.Heads, s.Patch, s.Size, s.Batch, s.ModelFLOPs()})
	}
	cases, err := json.MarshalIndent(map[string]any{
		"products": measure.Products, "headProducts": measure.HeadProducts, "attentions": measure.Attentions, "steps": steps, "embeds": embeds,
	}, "", "\t")
	if err != nil {
		return err
	}
	for name, data := range map[string][]byte{"products.txt": []byte(products.String()), "cases.json": append(cases, '\n'), "picture.jpg": measure.JPEG()} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o666); err != nil {
			return err
		}
	}
	return nil
}
