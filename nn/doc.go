// Package nn holds the layers of a Vision Transformer, its initialisation and the optimizers.
//
// A layer owns parameters, whose names are the state-dict keys of the reference implementation of DINO (blocks.0.attn.qkv.weight), and has a
// Forward that runs it on a tape of package autograd. It knows no student or teacher, no crop and no epoch: package dino does. Weight files
// are read and written by nn/weights; dino.LoadBackbone makes a model of one.
//
//	images (B, 3, H, W)
//	  PatchEmbed            N patches of P×P pixels, each a row of D: (B, N, D)
//	  + class token, position embedding, registers if the model has them: (B, 1+R+N, D)
//	  Block × depth         x += Attention(LayerNorm(x)); x += MLP(LayerNorm(x))
//	  LayerNorm
//	class token (B, D) of Forward; all tokens of Tokens
//
// A model, and a step of an optimizer, is
//
//	config, err := nn.ParseArch("vit_small", 16, 224)
//	model := nn.NewVisionTransformer(tensor.CPU(), config, seed)
//	optimizer := nn.NewAdamW(model.Params())
//	tape := autograd.NewTape(tensor.NewArena(tensor.CPU()))
//	for … {
//		nn.ZeroGrad(model.Params())
//		features := model.Forward(tape, autograd.NewConst(images), nil)
//		… a loss of the features, whose gradient is dy
//		tape.BackwardFrom(features, dy)
//		optimizer.Step(lr, weightDecay, nil, nil, nil)
//		tape.Reset()
//	}
//
// Letters: B images, N patches, R registers, D the dimension of a token (embed_dim), H heads of D/H each, P the side of a patch.
package nn
