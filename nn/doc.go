// Package nn holds the layers of a Vision Transformer, its initialisation and the optimizers.
//
// A layer owns parameters, whose names are the state-dict keys of the reference implementation of DINO (blocks.0.attn.qkv.weight), and has a
// Forward that runs it on a tape of package autograd. It knows no student or teacher, no crop and no epoch: package dino does. Weight files
// are read and written by nn/weights.
package nn
