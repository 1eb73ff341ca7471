//go:build libjpeg

#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include <jpeglib.h>

#include "decode.h"

#define TEXT(x) #x
#define VALUE(x) TEXT(x)

const char *godino_jpeg_version(void) {
#ifdef LIBJPEG_TURBO_VERSION
	return "libjpeg-turbo " VALUE(LIBJPEG_TURBO_VERSION);
#else
	return "libjpeg " VALUE(JPEG_LIB_VERSION);
#endif
}

// The library reports errors by a function that must not return; a jump leads back to godino_jpeg_decode, past no frame but the library's.
struct error_manager {
	struct jpeg_error_mgr base; // first: the library sees nothing else
	jmp_buf back;
	char *message;
};

static void fail(j_common_ptr c) {
	struct error_manager *e = (struct error_manager *)c->err;
	char text[JMSG_LENGTH_MAX];
	c->err->format_message(c, text);
	snprintf(e->message, GODINO_JPEG_MESSAGE, "%s", text);
	longjmp(e->back, 1);
}

// A level below 0 is a warning: data that the library would decode to something, were it let. The others are traces.
static void on_message(j_common_ptr c, int level) {
	if (level < 0)
		fail(c);
}

static void on_output(j_common_ptr c) { (void)c; }

int godino_jpeg_decode(unsigned char *rgb, const unsigned char *file, unsigned long size, unsigned width, unsigned height, char *message) {
	struct jpeg_decompress_struct c;
	struct error_manager e;
	memset(&c, 0, sizeof c); // so that it can be destroyed before it is made
	c.err = jpeg_std_error(&e.base);
	e.base.error_exit = fail;
	e.base.emit_message = on_message;
	e.base.output_message = on_output;
	e.message = message;
	if (setjmp(e.back)) {
		jpeg_destroy_decompress(&c);
		return 0;
	}
	jpeg_create_decompress(&c);
	jpeg_mem_src(&c, (unsigned char *)file, size);
	jpeg_read_header(&c, TRUE);
	const char *refused = NULL;
	if (c.image_width != width || c.image_height != height)
		refused = "the picture has another size than expected";
	else if (c.jpeg_color_space != JCS_YCbCr && c.jpeg_color_space != JCS_GRAYSCALE && c.jpeg_color_space != JCS_RGB)
		refused = "neither grey nor of three components";
	if (refused) {
		snprintf(message, GODINO_JPEG_MESSAGE, "%s", refused);
		jpeg_destroy_decompress(&c);
		return 0;
	}
	c.out_color_space = JCS_RGB;
	c.dct_method = JDCT_ISLOW; // the accurate one, and Pillow's
	jpeg_start_decompress(&c);
	while (c.output_scanline < height) {
		JSAMPROW rows[16];
		unsigned n = 0;
		for (; n < 16 && c.output_scanline + n < height; n++)
			rows[n] = rgb + (size_t)3 * width * (c.output_scanline + n);
		jpeg_read_scanlines(&c, rows, n);
	}
	jpeg_finish_decompress(&c);
	jpeg_destroy_decompress(&c);
	return 1;
}
