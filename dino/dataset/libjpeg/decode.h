// What libjpeg.go calls.

#define GODINO_JPEG_MAX_SIDE 65535
#define GODINO_JPEG_MESSAGE 256

const char *godino_jpeg_version(void);

// godino_jpeg_decode decodes file into rgb, height rows of width pixels of three bytes. It returns 1, or 0 with the reason in message.
int godino_jpeg_decode(unsigned char *rgb, const unsigned char *file, unsigned long size, unsigned width, unsigned height, char *message);
