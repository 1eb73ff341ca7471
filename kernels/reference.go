package kernels

import (
	"fmt"
	"os"
	"strings"
	"sync"
)

// Reference is the table of plain Go: the meaning of every operation.
func Reference() *Table {
	return &Table{
		Name:                     "reference",
		Gemm:                     referenceGemm,
		AttentionForward:         attentionFloat32.forward,
		AttentionBackward:        attentionFloat32.backward,
		AttentionWeights:         attentionFloat32.weights,
		GELUForward:              geluForward,
		GELUBackward:             geluBackward,
		GELUAndDerivative:        geluAndDerivative,
		ExpShift:                 expShift,
		LogSumExp:                logSumExp,
		SoftmaxForward:           softmaxForward,
		CenteredSoftmaxForward:   centeredSoftmaxForward,
		SoftmaxBackward:          softmaxBackward,
		LogSoftmaxForward:        logSoftmaxForward,
		LogSoftmaxBackward:       logSoftmaxBackward,
		LayerNormForward:         layerNormForward,
		LayerNormBackward:        layerNormBackward,
		L2NormalizeForward:       l2NormalizeForward,
		L2NormalizeBackward:      l2NormalizeBackward,
		WeightNormForward:        weightNormForward,
		WeightNormBackward:       weightNormBackward,
		Add:                      add,
		AddScaled:                addScaled,
		AddScaledTo:              addScaledTo,
		AddProduct:               addProduct,
		Mul:                      mul,
		Scale:                    scale,
		Dot:                      dot,
		Sum:                      sum,
		SumSquares:               sumSquares,
		AdamW:                    adamW,
		SGD:                      sgd,
		EMA:                      ema,
		SoftCrossEntropyForward:  softCrossEntropyForward,
		SoftCrossEntropyBackward: softCrossEntropyBackward,
		TransposeBytes:           transposeBytes,
		Resample:                 resample,
		BoxBlur:                  boxBlur,
		Luma:                     luma,
		LumaSum:                  lumaSum,
		BlendGrey:                blendGrey,
		Saturation:               saturation,
		ShiftHue:                 shiftHue,
		Solarize:                 solarize,
		NormalizeBytes:           normalizeBytes,
		UpsampleTriangle:         upsampleTriangle,
		YCbCrToRGB:               yCbCrToRGB,
	}
}

// Tables lists the tables that this CPU can run, the plainest first and the fastest last.
func Tables() []*Table {
	return append([]*Table{Reference()}, nativeTables()...)
}

// Best is the table for this CPU: the fastest, or the one that GODINO_KERNELS names. A name that is unknown or that the CPU cannot run
// panics: silently slower or other results than asked for would be worse.
var Best = sync.OnceValue(func() *Table {
	tables := Tables()
	name := os.Getenv("GODINO_KERNELS")
	if name == "" {
		return tables[len(tables)-1]
	}
	var names []string
	for _, t := range tables {
		if t.Name == name {
			return t
		}
		names = append(names, t.Name)
	}
	panic(fmt.Sprintf("GODINO_KERNELS=%s: this CPU runs %s", name, strings.Join(names, ", ")))
})
