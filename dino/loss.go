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

	views  int
	target *tensor.Tensor  // (2B, K), the teacher's probabilities of the batch at hand
	pairs  *tensor.Pairs   // of the student's rows: the rows of target that each is compared with
	scale  *tensor.Scalars // 1/temperature

	// Of the batches since the last UpdateCenter or Discard.
	sum        *tensor.Tensor // (1, K), of the teacher's logits
	seen       int            // rows of it
	entropySum float64
	used       *tensor.Tensor // (K), 1 for prototypes that were somebody's largest
	entropy    *tensor.Tensor // (2B) of the batch at hand
}

// NewLoss makes the loss of K outputs and V views, its centre at 0.
func NewLoss(dev *tensor.Device, outDim, views int) *Loss {
	return &Loss{Center: tensor.New(dev, 1, outDim), sum: tensor.New(dev, 1, outDim), used: tensor.New(dev, outDim), views: views,
		scale: tensor.NewScalars(dev, 1)}
}

// Target turns the teacher's logits (2B, K) into probabilities at temperature temp, centred as the centre is before this step's update,
// and remembers the logits for the update. The result is valid until the next call.
func (l *Loss) Target(teacher *tensor.Tensor, temp float64) *tensor.Tensor {
	l.prepare(teacher)
	l.scale.Set(0, float32(1/temp))
	l.scale.Send()
	tensor.CenteredSoftmaxForward(l.target, teacher, l.Center, l.scale.At(0), l.entropy, l.used)
	tensor.SumRows(l.sum, teacher)
	l.seen += teacher.Rows()
	for _, h := range l.entropy.Floats() {
		l.entropySum += float64(h)
	}
	return l.target
}

// prepare makes the buffers for a batch of that size, once.
func (l *Loss) prepare(teacher *tensor.Tensor) {
	if l.target != nil && tensor.SameShape(l.target, teacher) {
		return
	}
	n := teacher.Rows()
	l.target = tensor.New(teacher.Device(), teacher.Shape()...)
	l.entropy = tensor.New(teacher.Device(), n)
	l.pairs = tensor.NewPairs(pairs(n/globalViews, l.views))
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
	return t.PrototypeCrossEntropy(bottleneck, head.v, head.g, target, l.pairs, 1/studentTemp, float32(share/float64(count)))
}

// UpdateCenter moves the centre towards the mean of the teacher's logits since the last update: c = 0.9·c + 0.1·mean.
func (l *Loss) UpdateCenter() {
	tensor.Scale(l.Center, centerMomentum)
	tensor.AddScaled(l.Center, l.sum, (1-centerMomentum)/float32(l.seen))
	l.Discard()
}

// Discard forgets the teacher's logits since the last update.
func (l *Loss) Discard() {
	tensor.Fill(l.sum, 0)
	l.used.Zero()
	l.seen, l.entropySum = 0, 0
}

// Entropy is the mean H(t) of the batches since the last update, in nats.
func (l *Loss) Entropy() float64 { return l.entropySum / float64(max(l.seen, 1)) }

// Prototypes is how many outputs were the teacher's largest for some crop since the last update.
func (l *Loss) Prototypes() int {
	return int(tensor.Sum(l.used))
}

// CenterNorm is ‖c‖₂.
func (l *Loss) CenterNorm() float64 { return math.Sqrt(tensor.SumSquares(l.Center)) }

// LnK is the loss, and the teacher's entropy, when every output is as likely.
func (l *Loss) LnK() float64 { return math.Log(float64(l.Center.Len())) }
