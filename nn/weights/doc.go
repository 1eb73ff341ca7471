// Package weights reads and writes named arrays: safetensors files (ours and others') and the .pth files of torch.save.
//
// # Writing
//
// A checkpoint is a list of float32 arrays, raw arrays of other types if needed, and string metadata:
//
//	err := weights.Save("run/checkpoint.safetensors", &weights.Contents{
//		Arrays: []weights.Array{
//			{Name: "teacher.backbone.cls_token", Shape: []int{1, 1, 192}, Data: cls},
//			{Name: "teacher.head.last_layer.weight_g", Shape: []int{4096, 1}, Data: g},
//		},
//		Raws:     []weights.Raw{weights.Int64s("order", []int{2}, []int64{7, 9})},
//		Metadata: map[string]string{"epoch": "3", "args": `{"arch":"vit_tiny"}`},
//	})
//
// Save is atomic: whatever happens, path holds the old file or the new one, whole.
//
// # Reading
//
// Open reads the index alone; arrays are read when asked for, so taking a backbone out of a checkpoint with optimizer moments and a
// large head costs the backbone only.
//
//	f, err := weights.Open("checkpoint.pth") // or .safetensors; the first bytes decide, not the name
//	if err != nil { ... }
//	defer f.Close()
//	have, err := f.StateDict("teacher")      // "module." and "backbone." stripped, head left out
//	if err := weights.Match(model.Entries(), weights.Entries(have)).Err(); err != nil { ... }
//
// Names are the same for both formats: a nested dictionary is flattened with dots, and "module.", which PyTorch's data-parallel
// wrapper puts before every name, is dropped: student/module.backbone.cls_token is "student.backbone.cls_token".
// The metadata of a .pth has "epoch" (decimal) and "args" (a JSON object) where the file has them.
//
// # Format
//
// safetensors: 8 bytes little-endian header length, a JSON header padded with spaces so that data starts at a multiple of 8, then the
// data, little-endian, row-major, without holes. Wider element types come first, which keeps every array aligned to its element.
// Beside the caller's metadata the header's __metadata__ has
//
//	checksum.NAME    CRC-32C of the bytes of array NAME, eight hexadecimal digits
//	checksum.header  CRC-32C of the header with these eight digits as zeros  (an array cannot be called "header")
//
// Files of other programs have neither and are read without. Where one is present all must be.
//
// # Hostile files
//
// Every length from a file is checked before memory is asked for it; reading asks for at most twice the file plus 64 MB. A .pth is a
// program for a stack machine; only the instructions torch.save writes are let through, and only names on a short list (see pickle.go),
// so nothing of the file is ever executed.
package weights
