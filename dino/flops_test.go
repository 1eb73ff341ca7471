package dino

import (
	"math"
	"testing"

	"github.com/godino-ml/godino/tensor"
)

// The multiply-adds are written out here, from the shapes of vit_small/16 and of the reference's head.
func TestFLOPs(t *testing.T) {
	c := Reference()
	c.OutDim = 4096 // the least that is no small share; 65,536 would take seconds to initialise
	c.BatchSize = 1
	trainer, err := NewTrainer(tensor.CPU(), c, 10)
	if err != nil {
		t.Fatal(err)
	}
	backbone := func(n float64) float64 {
		const d, depth = 384, 12
		token := float64(d*d + 2*d*4*d)
		return (n-1)*d*3*16*16 + depth*(n*3*d*d+2*n*n*d) + ((depth-1)*n+1)*token
	}
	head := float64(384*2048 + 2048*2048 + 2048*256 + 256*4096)
	want := 2 * (2*4*(backbone(197)+head) + 8*3*(backbone(37)+head))
	if got := trainer.FLOPs(); !(math.Abs(got/want-1) < 1e-12) {
		t.Errorf("%.6g operations an image, want %.6g", got, want)
	}
}
