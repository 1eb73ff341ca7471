package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"github.com/godino-ml/godino/dino"
)

// progress prints what a training run tells: a bar on a terminal, plain lines into a pipe or file, JSON objects when asked for.
type progress struct {
	out   io.Writer
	json  bool
	every time.Duration // between plain lines

	bar      *progressbar.ProgressBar // of the epoch; nil between epochs, and when out is no terminal
	tty      bool
	lastLine time.Time
	lastStep dino.StepStats
	lastKNN  float64 // top-1 of the evaluation before; NaN if none
	saved    string  // what to add to the next line about a finished epoch
}

func newProgress(out io.Writer, asJSON bool) *progress {
	return &progress{out: out, json: asJSON, every: 10 * time.Second, tty: isTerminal(out), lastKNN: math.NaN()}
}

// events are the callbacks for dino.Run.
func (p *progress) events() dino.Events {
	return dino.Events{Start: p.start, Step: p.step, Epoch: p.epoch, Save: p.save, Warning: p.warning}
}

func (p *progress) object(kind string, v any) {
	text, err := json.Marshal(map[string]any{kind: v})
	if err != nil { // NaN has no place in JSON; the reader still learns that something happened
		text, _ = json.Marshal(map[string]any{kind: err.Error()})
	}
	fmt.Fprintf(p.out, "%s\n", text)
}

func (p *progress) line(format string, args ...any) {
	p.clear()
	fmt.Fprintf(p.out, format+"\n", args...)
}

func (p *progress) clear() {
	if p.bar != nil {
		_ = p.bar.Clear()
	}
}

func (p *progress) start(s dino.Start) {
	if p.json {
		p.object("start", s)
		return
	}
	p.line("network   %s parameters in the backbone, %s with its head", count(s.BackboneParams), count(s.Params))
	if s.Step > 0 {
		p.line("resumed   at step %d", s.Step)
	}
}

func (p *progress) step(s dino.StepStats) {
	p.lastStep = s
	if p.json {
		p.object("step", s)
		return
	}
	p.stepLine(s.StepInEpoch+1, s.StepsPerEpoch, stepText(s))
}

// stepLine shows a step, number done of its epoch's: in the bar, or in a line now and then.
func (p *progress) stepLine(done, of int, parts []string) {
	if p.tty {
		p.drawBar(done, of, parts)
		return
	}
	if now := time.Now(); done == of || p.lastLine.IsZero() || now.Sub(p.lastLine) >= p.every {
		p.lastLine = now
		p.line("%s", strings.Join(parts, "  "))
	}
}

func (p *progress) drawBar(done, of int, parts []string) {
	if p.bar == nil {
		p.bar = progressbar.NewOptions(of,
			progressbar.OptionSetWriter(p.out), progressbar.OptionSetWidth(10), progressbar.OptionThrottle(100*time.Millisecond),
			progressbar.OptionSetPredictTime(false), progressbar.OptionUseANSICodes(true), progressbar.OptionShowDescriptionAtLineEnd(),
			progressbar.OptionSetRenderBlankState(false))
	}
	width := 80
	if f, ok := p.out.(*os.File); ok {
		if w, _, err := term.GetSize(int(f.Fd())); err == nil && w > 0 {
			width = w
		}
	}
	const bar = 30 // the bar itself and its percentage
	text := ""
	for _, part := range parts {
		if len(text)+2+len(part)+bar > width {
			break
		}
		text += "  " + part
	}
	p.bar.Describe(text)
	_ = p.bar.Set(done)
}

// stepText is a step as a person reads it, the most important first.
func stepText(s dino.StepStats) []string {
	parts := []string{fmt.Sprintf("epoch %d/%d [%d/%d]", s.Epoch+1, s.Epochs, s.StepInEpoch+1, s.StepsPerEpoch)}
	if s.Skipped != "" {
		parts = append(parts, "skipped: "+s.Skipped+" is not finite")
	} else {
		parts = append(parts, fmt.Sprintf("loss %.3f (ln K %.3f)", s.Loss, s.LnK), fmt.Sprintf("H(t) %.2f  KL %.2f", s.Entropy, s.KL),
			fmt.Sprintf("lr %.1e  |g| %.2g", s.LR, s.GradNorm))
	}
	return append(parts, rateText(s.ImagesPerSecond)+" img/s", fmt.Sprintf("eta %s", durationText(s.ETA)), fmt.Sprintf("wait %.0f%%", 100*s.Wait),
		fmt.Sprintf("mem %s", shortBytes(s.Memory)))
}

func (p *progress) epoch(e dino.EpochStats) {
	if p.json {
		p.object("epoch", e)
		return
	}
	var text string
	if e.Epoch < 0 {
		text = "untrained"
	} else {
		text = fmt.Sprintf("epoch %d/%d done  loss %.3f  H(t) %.2f  KL %.2f", e.Epoch+1, e.Epochs, e.Loss, e.Entropy, e.KL)
	}
	if k := e.KNN; k != nil {
		text += fmt.Sprintf("  k-NN %.1f%%", k.Top1)
		var beside []string
		if !math.IsNaN(p.lastKNN) {
			beside = append(beside, fmt.Sprintf("%+.1f", k.Top1-p.lastKNN))
		}
		if e.Epoch >= 0 && k.Untrained != nil {
			beside = append(beside, fmt.Sprintf("untrained %.1f", *k.Untrained))
		}
		if k.Pixels != nil {
			beside = append(beside, fmt.Sprintf("raw pixels %.1f", *k.Pixels))
		}
		if len(beside) > 0 {
			text += " (" + strings.Join(beside, ", ") + ")"
		}
		p.lastKNN = k.Top1
	}
	p.line("%s", p.withSave(text, e.Skipped, e.BadFiles))
	p.bar = nil
}

// withSave is an epoch's line with what went wrong in it and what was saved.
func (p *progress) withSave(text string, skipped, badFiles int) string {
	if skipped > 0 {
		text += fmt.Sprintf("  %d steps skipped", skipped)
	}
	if badFiles > 0 {
		text += fmt.Sprintf("  %d unreadable images", badFiles)
	}
	if p.saved != "" {
		text += "  " + p.saved
		p.saved = ""
	}
	return text
}

func (p *progress) save(s dino.SaveStats) {
	if p.json {
		p.object("saved", s)
		return
	}
	p.saved = fmt.Sprintf("saved step %d (%s, %.1f s)", s.Step, shortBytes(s.Bytes), s.Seconds)
}

func (p *progress) warning(w dino.Warning) {
	if p.json {
		p.object("warning", w)
		return
	}
	p.line("warning   %s", w.Message)
}

// finish ends the bar, and says what was saved last if no line has said it.
func (p *progress) finish() {
	p.clear()
	p.bar = nil
	if p.saved != "" && !p.json {
		p.line("%s", p.saved)
	}
	p.saved = ""
}

// count writes a number with commas: 21,665,664.
func count(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// rateText writes a rate with three digits, and never with an exponent: 0.213, 61.4, 1204.
func rateText(v float64) string {
	if v >= 100 {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.3g", v)
}

// shortBytes writes a size briefly, in powers of ten: 62M, 3.1G.
func shortBytes(n int64) string {
	switch {
	case n < 1e3:
		return fmt.Sprintf("%dB", n)
	case n < 1e6:
		return fmt.Sprintf("%.0fk", float64(n)/1e3)
	case n < 1e9:
		return fmt.Sprintf("%.0fM", float64(n)/1e6)
	}
	return fmt.Sprintf("%.1fG", float64(n)/1e9)
}

// durationText writes a time as 11h02, 3m20 or 45s.
func durationText(d time.Duration) string {
	d = d.Round(time.Second)
	h, m, s := int(d.Hours()), int(d.Minutes())%60, int(d.Seconds())%60
	switch {
	case d < 0:
		return "?"
	case h > 0:
		return fmt.Sprintf("%dh%02d", h, m)
	case m > 0:
		return fmt.Sprintf("%dm%02d", m, s)
	}
	return fmt.Sprintf("%ds", s)
}

// counter shows how far a long pass over images is: a bar on a terminal; nothing elsewhere, where the result is all that matters.
func (t *terminal) counter(what string) func(done, of int) {
	if !isTerminal(t.err) {
		return nil
	}
	var bar *progressbar.ProgressBar
	return func(done, of int) {
		if bar == nil {
			bar = progressbar.NewOptions(of, progressbar.OptionSetWriter(t.err), progressbar.OptionSetDescription(what), progressbar.OptionShowCount(),
				progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish(), progressbar.OptionSetWidth(20))
		}
		_ = bar.Set(done)
	}
}
