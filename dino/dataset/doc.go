// Package dataset finds images and decodes them: a folder or a tar becomes a numbered list of pictures with labels, and one number
// becomes 8-bit RGB. It knows files and images; what is cut out of an image is the business of package augment.
//
// # What Open accepts
//
//	photos/                 a folder of images, anywhere below it
//	imagenet/train/         a folder of class folders, CLASS/FILE
//	cifar10.tar             an uncompressed tar of either
//	cifar10.tar/cifar10/train   a folder inside a tar: its path is written after the tar's, as if the tar were a folder
//
// From the place named, Open descends through lone folders (a tar usually holds one folder named after itself) and, when
// [Options.Split] names a folder that is found there, into that folder; [Dataset.Root] says where it ended. Below that root every
// regular file with a known ending counts, whatever the case of the ending: .jpg .jpeg .jpe .jfif .png .gif .bmp .tif .tiff .webp.
// Hidden files and folders (.name) and __MACOSX are skipped. Symbolic links are followed in folders, every real folder being visited
// once, so that loops end; in a tar they are skipped.
//
// The class of an image is the name of the folder that it lies in; an image directly in the root has none (label −1). Classes are
// numbered in sorted order, images in sorted order of their path, bytewise, so that numbers do not depend on the file system.
//
// # What an image becomes
//
// Decoding follows the published reference, which loads images by Pillow's convert("RGB"): alpha is dropped, not blended; grey is
// replicated; CMYK is converted; of a GIF the first frame is taken; EXIF orientation is ignored. Chroma of JPEG and WebP is upsampled
// with the triangle filter that libjpeg and libwebp use, not replicated. One difference is on purpose: 16-bit grey keeps its high byte,
// where Pillow saturates at 255.
//
// Bytes are hostile until decoded. The header is read first and a picture beyond [Options.MaxPixels], or with more pixels than its bytes
// could possibly hold, is refused before the decoder may allocate for it; a decoder's panic becomes an error. Everything that can go
// wrong with one image is a [*BadImageError], which names it.
package dataset
