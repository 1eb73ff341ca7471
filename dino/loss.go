package dino

import (
	"math"

	"github.com/godino-ml/godino/autograd"
	"github.com/godino-ml/godino/tensor"
)

// Constants of the method: the paper does not vary them.
const (
	studentTemp    = 0.1
	centerMomentum = 0.9
	globalViews    = 2
)

// Loss is the cross-entropy between what the teacher says of one large crop and what the student says of every other crop of the image,
//
//	L = mean over pairs (i in {0,1}, v in 0..V−1, v ≠ i) and images b of  −Σ_k t[i,b,k]·log s[v,b,k]
//	t = softmax((teacher − c)/τ_t),  s = softmax(student/0.1),
//
// and its centre c, a moving average of the teacher's logits. Logits are view-major: row v·B+b is view v of image b.
//
// It also keeps the figures that tell a collapse. The cross-entropy is H(t) + KL(t‖s): H near 0 is a teacher that says the same of
// everything, H near ln K one that says nothing.
type Loss struct {
	Center *tensor.Tensor // (1, K)

	views   int
	batches map[int]*batchLoss // by images
	scale   *tensor.Scalars    // 1/temperature

	// Of the batches since the last UpdateCenter or Discard.
	sum        *tensor.Tensor // (1, K), of the teacher's logits
	seen       int            // rows of it
	used       *tensor.Tensor // (K), not 0: prototypes that were somebody's largest
	entropySum float64        // on a CPU
	figures    *tensor.Tensor // (lossFigures), on a GPU: of the batches until the last UpdateCenter
}

// Figures of a loss on a GPU.
const (
	entropyFigure    = iota // the sum over the teacher's rows
	prototypesFigure        // how many were used
	centerFigure            // ‖c‖
	lossFigures
)

// batchLoss is what batches of one size need.
type batchLoss struct {
	target  *tensor.Tensor // (2B, K), the teacher's probabilities of the batch at hand
	entropy *tensor.Tensor // (2B)
	sum     *tensor.Tensor // (1), of entropy
	pairs   *tensor.Pairs  // of the student's rows: the rows of target that each is compared with
}

// NewLoss makes the loss of K outputs and V views, its centre at 0.
func NewLoss(dev *tensor.Device, outDim, views int) *Loss {
	return &Loss{Center: tensor.New(dev, 1, outDim), sum: tensor.New(dev, 1, outDim), used: tensor.New(dev, outDim), views: views,
		batches: map[int]*batchLoss{}, scale: tensor.NewScalars(dev, 1), figures: tensor.New(dev, lossFigures)}
}

// Target turns the teacher's logits (2B, K) into probabilities at temperature temp, centred as the centre is before this step's update,
// and remembers the logits for the update. The result is valid until the next call.
func (l *Loss) Target(teacher *tensor.Tensor, temp float64) *tensor.Tensor {
	l.setTemp(temp)
	return l.sharpen(teacher)
}

// setTemp sets the teacher's temperature for what follows.
func (l *Loss) setTemp(temp float64) {
	l.scale.Set(0, float32(1/temp))
	l.scale.Send()
}

// sharpen is Target at the temperature that is set.
func (l *Loss) sharpen(teacher *tensor.Tensor) *tensor.Tensor {
	b := l.batch(teacher.Rows() / globalViews)
	tensor.CenteredSoftmaxForward(b.target, teacher, l.Center, l.scale.At(0), b.entropy, l.used)
	tensor.SumRows(l.sum, teacher)
	l.seen += teacher.Rows()
	if l.onGPU() {
		tensor.SumTo(b.sum, b.entropy, 1)
		sum := l.figures.Slice(entropyFigure, entropyFigure+1)
		tensor.AddForward(sum, sum, b.sum)
		return b.target
	}
	for _, h := range b.entropy.Data() {
		l.entropySum += float64(h)
	}
	return b.target
}

func (l *Loss) onGPU() bool { return l.Center.Device().GPU() != nil }

// batch is what batches of so many images need, made once.
func (l *Loss) batch(images int) *batchLoss {
	b := l.batches[images]
	if b == nil {
		dev, n := l.Center.Device(), globalViews*images
		b = &batchLoss{target: tensor.New(dev, n, l.Center.Len()), entropy: tensor.New(dev, n), sum: tensor.New(dev, 1),
			pairs: tensor.NewPairs(pairs(images, l.views))}
		l.batches[images] = b
	}
	return b
}

// pairs lists, for every row of the student's logits, the rows of the teacher's that it is compared with: the same image, another view.
func pairs(batch, views int) [][]int {
	rows := make([][]int, views*batch)
	for v := range views {
		for b := range batch {
			for i := range globalViews {
				if i != v {
					rows[v*batch+b] = append(rows[v*batch+b], i*batch+b)
				}
			}
		}
	}
	return rows
}

// Forward is the loss of the student's bottleneck vectors (V·B, D), whose logits its head's last layer would make, against target, times
// share: the part that this batch has in its step.
func (l *Loss) Forward(t *autograd.Tape, bottleneck *autograd.Var, head *Head, target *tensor.Tensor, share float64) *autograd.Var {
	batch := target.Rows() / globalViews
	count := globalViews * (l.views - 1) * batch // pairs × images
	return t.PrototypeCrossEntropy(bottleneck, head.v, head.g, target, l.batch(batch).pairs, 1/studentTemp, float32(share/float64(count)))
}

// UpdateCenter moves the centre towards the mean of the teacher's logits since the last update: c = 0.9·c + 0.1·mean.
func (l *Loss) UpdateCenter() {
	tensor.Scale(l.Center, centerMomentum)
	tensor.AddScaled(l.Center, l.sum, (1-centerMomentum)/float32(l.seen))
	l.Discard()
}

// updateCenterUnless is UpdateCenter on a GPU, which leaves the centre alone if skip (1) is not of zero bits, and computes the figures.
func (l *Loss) updateCenterUnless(skip *tensor.Tensor) {
	figure := func(i int) *tensor.Tensor { return l.figures.Slice(i, i+1) }
	tensor.CenterUpdate(l.Center, l.sum, l.used, skip, figure(centerFigure), figure(prototypesFigure), centerMomentum, (1-centerMomentum)/float32(l.seen))
	l.seen = 0
}

// Discard forgets the teacher's logits since the last update.
func (l *Loss) Discard() {
	l.sum.Zero()
	l.used.Zero()
	l.seen, l.entropySum = 0, 0
}

// Entropy is the mean H(t) of the batches since the last update, in nats. It is not kept on a GPU.
func (l *Loss) Entropy() float64 { return l.entropySum / float64(max(l.seen, 1)) }

// Prototypes is how many outputs were the teacher's largest for some crop since the last update.
func (l *Loss) Prototypes() int {
	n := 0
	for _, u := range l.used.Floats() {
		if u != 0 {
			n++
		}
	}
	return n
}

// CenterNorm is ‖c‖₂.
func (l *Loss) CenterNorm() float64 { return math.Sqrt(tensor.SumSquares(l.Center)) }

// LnK is the loss, and the teacher's entropy, when every output is as likely.
func (l *Loss) LnK() float64 { return math.Log(float64(l.Center.Len())) }
