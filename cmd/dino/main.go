// Command dino trains Vision Transformers on images without labels, by self-distillation (DINO), and puts what they learnt to use.
//
// Every command has a file of its own here, with its flags and its printing; the work is done by package dino and those under it. Run
// dino COMMAND --help for an example of each.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
	"golang.org/x/term"

	"github.com/godino-ml/godino/dino/dataset"
	"github.com/godino-ml/godino/kernels"
)

type commands struct {
	Train     trainCommand     `cmd:"" help:"Train on a folder or tar of images."`
	KNN       knnCommand       `cmd:"" name:"knn" help:"Score a network by weighted nearest neighbours."`
	Linear    linearCommand    `cmd:"" help:"Train and score a linear classifier on a network's features."`
	Finetune  finetuneCommand  `cmd:"" help:"Train a network further with labels, or from scratch."`
	Classify  classifyCommand  `cmd:"" help:"Name the classes of images by a classifier of linear or finetune."`
	Embed     embedCommand     `cmd:"" help:"Write the features of images to a .npy or .csv file."`
	Attention attentionCommand `cmd:"" help:"Draw where a network looks in an image."`
	PCA       pcaCommand       `cmd:"" name:"pca" help:"Draw the patch features of images as colours."`
	Video     videoCommand     `cmd:"" help:"Draw where a network looks in the frames of a video."`

	Retrieval  retrievalCommand  `cmd:"" help:"Score a network by searching images that show the same: revisited Oxford and Paris, or your own."`
	CopyDetect copyDetectCommand `cmd:"" name:"copydetect" help:"Score a network by finding the originals of altered copies: Copydays, or copies made here."`
	VideoSeg   videoSegCommand   `cmd:"" name:"videoseg" help:"Score a network by carrying the first frame's objects through a video: DAVIS."`

	Search searchCommand `cmd:"" help:"Find similar images, near-duplicates and outliers in an index of a folder or tar."`

	Export  exportCommand  `cmd:"" help:"Write a network for other programs: ONNX, timm, transformers."`
	Import  importCommand  `cmd:"" help:"Read the weights of DINO, DINOv2, DeiT, timm and transformers."`
	Inspect inspectCommand `cmd:"" help:"List the tensors of a file of weights and what network it fits."`
	Verify  verifyCommand  `cmd:"" help:"Check that checkpoints are whole, or that every image can be read."`

	Report reportCommand `cmd:"" help:"Make the page of a run, report.html, again from its files."`
	Serve  serveCommand  `cmd:"" help:"Show a run in a browser, live, and where it looks in a picture dropped there."`

	Demo   demoCommand   `cmd:"" help:"Train, score and draw in two minutes, on pictures made here."`
	Doctor doctorCommand `cmd:"" help:"Say what this machine offers and how fast it is."`
	Bench  benchCommand  `cmd:"" help:"Measure how fast the engine is here, beside what bounds it."`

	Verbose bool             `short:"v" help:"Log more of what happens, to standard error."`
	Version kong.VersionFlag `help:"Print the version and exit."`
}

// terminal is where a command prints.
type terminal struct {
	out, err io.Writer // results and progress; warnings
	log      *slog.Logger
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// After the first signal the default action is back, so that a second one ends a program that hangs.
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run is the program: it parses args, runs one command and returns the exit status, as exit.go lists them. When ctx is cancelled the command
// ends in good order: training finishes its step, saves, and returns 0.
func run(ctx context.Context, args []string, out, errOut io.Writer) int {
	if err := checkKernels(os.Getenv("GODINO_KERNELS")); err != nil {
		fmt.Fprintf(errOut, "dino: %v\n", err)
		return exitUsage
	}
	var c commands
	exited := -1
	parser, err := kong.New(&c,
		kong.Name("dino"),
		kong.Description("DINO: Vision Transformers that learn from images without labels.\n\nExit status: "+exitStatusHelp),
		kong.Vars{"version": version(), "maxPixels": fmt.Sprint(dataset.DefaultMaxPixels), "demoImages": fmt.Sprint(demoImages)},
		kong.FlagNamer(snakeCase),
		kong.KindMapper(boolKind, switchMapper{}),
		kong.TypeMapper(rangeType, rangeMapper{}),
		kong.TypeMapper(optionalType, optionalMapper{}),
		kong.Writers(out, errOut),
		kong.Exit(func(code int) { exited = code; panic(exitNow{}) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 110}),
	)
	if err != nil {
		panic(err) // a mistake in the struct tags
	}
	k, err := parse(parser, underscored(args))
	if exited >= 0 {
		return exited
	}
	if err != nil {
		fmt.Fprintf(errOut, "dino: %v\n", err)
		var p *kong.ParseError
		if errors.As(err, &p) && p.Context != nil && p.Context.Command() != "" {
			fmt.Fprintf(errOut, "dino: `%s --help` lists the flags\n", p.Context.Selected().FullPath())
		} else {
			fmt.Fprintln(errOut, "dino: `dino --help` lists the commands")
		}
		return exitUsage
	}
	level := slog.LevelWarn
	if c.Verbose {
		level = slog.LevelDebug
	}
	t := &terminal{out: out, err: errOut, log: slog.New(slog.NewTextHandler(errOut, &slog.HandlerOptions{Level: level, ReplaceAttr: withoutTime}))}
	k.BindTo(ctx, (*context.Context)(nil))
	if err := k.Run(t); err != nil {
		fmt.Fprintf(errOut, "%s: %v\n", k.Selected().FullPath(), err)
		return exitStatus(err)
	}
	return exitDone
}

// exitNow unwinds the parser after it has printed the help or the version.
type exitNow struct{}

func parse(parser *kong.Kong, args []string) (k *kong.Context, err error) {
	defer func() {
		if v := recover(); v != nil {
			if _, ok := v.(exitNow); !ok {
				panic(v)
			}
		}
	}()
	return parser.Parse(args)
}

// withoutTime drops the time from log lines that a person reads as they come.
func withoutTime(groups []string, a slog.Attr) slog.Attr {
	if a.Key == slog.TimeKey && len(groups) == 0 {
		return slog.Attr{}
	}
	return a
}

func version() string {
	v := "godino (source build)"
	if info, ok := debug.ReadBuildInfo(); ok {
		if info.Main.Version != "" && info.Main.Version != "(devel)" {
			v = "godino " + info.Main.Version
		}
	}
	return fmt.Sprintf("%s %s/%s %s", v, runtime.GOOS, runtime.GOARCH, runtime.Version())
}

// isTerminal tells whether w is a terminal, where lines can be redrawn.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// checkKernels refuses a GODINO_KERNELS that this CPU cannot serve, before package kernels panics over it.
func checkKernels(name string) error {
	if name == "" {
		return nil
	}
	var names []string
	for _, t := range kernels.Tables() {
		if t.Name == name {
			return nil
		}
		names = append(names, t.Name)
	}
	return fmt.Errorf("GODINO_KERNELS=%s: this CPU can run %s", name, strings.Join(names, ", "))
}
