// Package interchange writes Vision Transformers for other programs, and reads what those say about theirs.
//
//	err := interchange.WriteONNX(w, model, interchange.ONNXOptions{Height: 224, Width: 224})
//	notes, err := interchange.SaveTimm(dir, model, picture, nil)        // config.json, model.safetensors
//	notes, err := interchange.SaveHuggingFace(dir, model, picture, nil) // config.json, preprocessor_config.json, model.safetensors
//
// How the arrays are called there is the business of nn/weights.
package interchange
