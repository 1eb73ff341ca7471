package bench

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/godino-ml/godino/internal/measure"
)

// BenchmarkPicture measures what a loader's worker does for a 500×375 JPEG: decoding, the ten crops of the reference with their augmentations,
// and both.
func BenchmarkPicture(b *testing.B) {
	for _, threads := range measure.Threads() {
		for _, w := range measure.PictureParts(threads) {
			b.Run(fmt.Sprintf("threads=%d/%s", threads, w.Name), func(b *testing.B) {
				best := time.Duration(math.MaxInt64)
				for b.Loop() {
					best = min(best, w.Time())
				}
				b.ReportMetric(float64(w.Images)/best.Seconds(), "images/s")
			})
		}
	}
}
