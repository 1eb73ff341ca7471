// Package augment turns a picture into the crops that DINO trains on, and into the one crop that a trained network is evaluated on.
//
// Everything happens on 8-bit RGB after resizing, in the order of the published reference: random resized crop (bicubic), horizontal
// flip, colour jitter, greyscale, Gaussian blur, solarise; then normalisation to float32 planes (3, S, S). Every operation gives what
// torchvision gives on a Pillow image: where Pillow rounds to bytes, so does this package. The loops over pixels are kernels of package
// kernels, whose fast forms give the bits of the plain ones; they work on planes of red, green and blue, which resizing makes of pixels.
//
// Randomness is passed in. [CropStream] keys a stream by (seed, epoch, sample, crop), so that a crop does not depend on which worker makes
// it, on what was made before it, or on how often a run was interrupted.
//
// A [Scratch] holds the buffers of one goroutine. With it, making a crop allocates nothing once the buffers have grown.
//
// Letters: S side of a crop; W, H a picture's size; L number of local crops. View v of a sample is global crop v for v < 2, then local.
package augment
