package kernels

import (
	"golang.org/x/sys/cpu"

	"github.com/godino-ml/godino/kernels/avx2"
	"github.com/godino-ml/godino/kernels/avx512"
)

// nativeTables is the one place where a CPU's features choose kernels: each table starts from the one before and overrides its lines.
func nativeTables() []*Table {
	var tables []*Table
	if !(cpu.X86.HasAVX2 && cpu.X86.HasFMA) {
		return tables
	}
	t := *Reference()
	t.Name = "avx2"
	t.AttentionForward, t.AttentionBackward, t.AttentionWeights = attentionAVX2.Forward, attentionAVX2.Backward, attentionAVX2.Weights
	t.Gemm = gemmAVX2
	avx2Rows.override(&t)
	avx2Pixels.override(&t)
	tables = append(tables, &t)
	if !(cpu.X86.HasBMI2 && cpu.X86.HasAVX512F && cpu.X86.HasAVX512BW && cpu.X86.HasAVX512DQ && cpu.X86.HasAVX512VL) {
		return tables
	}
	z := t
	z.Name = "avx512"
	z.AttentionForward, z.AttentionBackward, z.AttentionWeights = attentionAVX512.Forward, attentionAVX512.Backward, attentionAVX512.Weights
	z.Gemm = gemmAVX512
	if cpu.X86.HasAVX512BF16 {
		z.GemmBF16 = &gemmAVX512BF16
		z.AttentionForwardBF16, z.AttentionBackwardBF16 = attentionAVX512BF16.Forward, attentionAVX512BF16.Backward
	}
	avx512Rows.override(&z)
	avx512Pixels.override(&z)
	return append(tables, &z)
}

var avx2Rows = rowAssembly{
	add:                      avx2.Add,
	addScaled:                avx2.AddScaled,
	addScaledTo:              avx2.AddScaledTo,
	addProduct:               avx2.AddProduct,
	mul:                      avx2.Mul,
	scaleShift:               avx2.ScaleShift,
	dot:                      avx2.Dot,
	sum:                      avx2.Sum,
	sumSquares:               avx2.SumSquares,
	max:                      avx2.Max,
	expShift:                 avx2.ExpShift,
	maxDifference:            avx2.MaxDifference,
	expBelow:                 avx2.ExpBelow,
	sumExpBelow:              avx2.SumExpBelow,
	softmaxRows:              avx2.SoftmaxRows,
	logSoftmaxRows:           avx2.LogSoftmaxRows,
	logSumExpRows:            avx2.LogSumExpRows,
	softmaxBackward:          avx2.SoftmaxBackward,
	logSoftmaxBackward:       avx2.LogSoftmaxBackward,
	geluForward:              avx2.GELUForward,
	geluBackward:             avx2.GELUBackward,
	geluAndDerivative:        avx2.GELUAndDerivative,
	layerNormForward:         avx2.LayerNormForward,
	layerNormBackward:        avx2.LayerNormBackward,
	addProjected:             avx2.AddProjected,
	adamW:                    avx2.AdamW,
	adamWEMA:                 avx2.AdamWEMA,
	ema:                      avx2.EMA,
	softCrossEntropyForward:  avx2.SoftCrossEntropyForward,
	softCrossEntropyBackward: avx2.SoftCrossEntropyBackward,
}

var avx512Rows = rowAssembly{
	add:                      avx512.Add,
	addScaled:                avx512.AddScaled,
	addScaledTo:              avx512.AddScaledTo,
	addProduct:               avx512.AddProduct,
	mul:                      avx512.Mul,
	scaleShift:               avx512.ScaleShift,
	dot:                      avx512.Dot,
	sum:                      avx512.Sum,
	sumSquares:               avx512.SumSquares,
	max:                      avx512.Max,
	expShift:                 avx512.ExpShift,
	maxDifference:            avx512.MaxDifference,
	expBelow:                 avx512.ExpBelow,
	sumExpBelow:              avx512.SumExpBelow,
	softmaxRows:              avx512.SoftmaxRows,
	logSoftmaxRows:           avx512.LogSoftmaxRows,
	logSumExpRows:            avx512.LogSumExpRows,
	softmaxBackward:          avx512.SoftmaxBackward,
	logSoftmaxBackward:       avx512.LogSoftmaxBackward,
	geluForward:              avx512.GELUForward,
	geluBackward:             avx512.GELUBackward,
	geluAndDerivative:        avx512.GELUAndDerivative,
	layerNormForward:         avx512.LayerNormForward,
	layerNormBackward:        avx512.LayerNormBackward,
	addProjected:             avx512.AddProjected,
	adamW:                    avx512.AdamW,
	adamWEMA:                 avx512.AdamWEMA,
	ema:                      avx512.EMA,
	softCrossEntropyForward:  avx512.SoftCrossEntropyForward,
	softCrossEntropyBackward: avx512.SoftCrossEntropyBackward,
}

var avx2Pixels = pixelAssembly{
	lanes:            8,
	transposeBytes:   avx2.TransposeBytes,
	resample:         avx2.Resample,
	boxBlur:          avx2.BoxBlur,
	luma:             avx2.Luma,
	lumaSum:          avx2.LumaSum,
	blendGrey:        avx2.BlendGrey,
	saturation:       avx2.Saturation,
	shiftHue:         avx2.ShiftHue,
	solarize:         avx2.Solarize,
	normalizeBytes:   avx2.NormalizeBytes,
	upsampleTriangle: avx2.UpsampleTriangle,
	yCbCrToRGB:       avx2.YCbCrToRGB,
}

var avx512Pixels = pixelAssembly{
	lanes:            16,
	transposeBytes:   avx2.TransposeBytes,
	resample:         avx512.Resample,
	boxBlur:          avx512.BoxBlur,
	luma:             avx512.Luma,
	lumaSum:          avx512.LumaSum,
	blendGrey:        avx512.BlendGrey,
	saturation:       avx512.Saturation,
	shiftHue:         avx512.ShiftHue,
	solarize:         avx512.Solarize,
	normalizeBytes:   avx512.NormalizeBytes,
	upsampleTriangle: avx512.UpsampleTriangle,
	yCbCrToRGB:       avx512.YCbCrToRGB,
}
