// Package dino trains Vision Transformers without labels by self-distillation: the method DINO of Caron et al., "Emerging Properties in
// Self-Supervised Vision Transformers" (arXiv:2104.14294), with the defaults of its published reference implementation.
//
// # The method in one paragraph
//
// A student and a teacher have the same architecture: a backbone (package nn) and a projection head ([Head]) that ends in K logits, the
// scores of K prototypes. Every image is cut into two large and several small crops. The teacher sees the two large crops; its logits, less
// a running mean (the centre) and divided by a low temperature, become probabilities. The student sees all crops and learns to predict, from
// each, what the teacher says of the other large crops ([Loss]). The teacher is not trained: it follows the student as an exponential moving
// average. Centring alone would flatten the teacher's output and sharpening alone would make it constant; together they keep it in between.
//
// # Where to start reading
//
// [Trainer.Step] is one training step in the order of the paper's Algorithm 1. [Config] holds every setting and its default, [Schedule] what
// changes over time, [Loss] the loss, its centre and the figures that tell a collapse, [Checkpoint] what is kept on disk. [Run] is the whole
// of a training run: epochs, log, checkpoints, k-NN, and what happens when something goes wrong.
//
// With labels, afterwards: [TrainLinear] trains a linear classifier on the features of a backbone that stays as it is, [Finetuner.Step] and
// [FinetuneRun] backbone and classifier together, or from scratch. A [Classifier] is what either leaves on disk.
//
// Letters: B images a batch, V = 2+L views (crops) of each, K output dimension of the head, D dimension of the backbone. Views are stacked
// view-major: all B images of view 0, then all of view 1, and so on; the two large crops come first.
//
// The package does not print and knows no flags: [Run] reports through [Events].
package dino
