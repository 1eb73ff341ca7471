package report

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
)

// Numbers of a run in the text format of Prometheus, version 0.0.4 (https://prometheus.io/docs/instrumenting/exposition_formats/). All are
// gauges read from the log, without labels: three lines each. The client library is made for programs that count as they go, and would bring
// a registry, protocol buffers and half a dozen modules for these lines.

func (s *Server) serveMetrics(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	err := s.log.Update()
	var b bytes.Buffer
	writeMetrics(&b, s.log)
	s.mu.Unlock()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	w.Write(b.Bytes())
}

func writeMetrics(w io.Writer, log *Log) {
	gauge := func(name, help string, value float64) {
		fmt.Fprintf(w, "# HELP dino_%s %s\n# TYPE dino_%s gauge\ndino_%s %g\n", name, help, name, name, value)
	}
	if s := log.LastStep; s != nil {
		gauge("steps", "Training steps done.", float64(s.Step+1))
		gauge("images_per_second", "Images trained on a second, over the last steps.", s.ImagesPerSecond)
		gauge("loader_wait_ratio", "Share of the time spent waiting for images.", s.Wait)
		gauge("memory_bytes", "Memory that the training process holds.", float64(s.Memory))
		gauge("learning_rate", "Learning rate of the last step.", s.LR)
		gauge("teacher_momentum", "Momentum of the teacher at the last step.", s.Momentum)
		gauge("teacher_temperature", "Temperature of the teacher at the last step.", s.TeacherTemp)
		if s.Skipped == "" {
			gauge("loss", "Loss of the last step, nats.", s.Loss)
			gauge("loss_uniform", "ln K: the loss of a teacher that finds all outputs equally likely.", s.LnK)
			gauge("teacher_entropy", "Entropy of the teacher's output, nats.", s.Entropy)
			gauge("kl", "KL divergence between teacher and student, nats.", s.KL)
			gauge("center_norm", "Norm of the centre.", s.CenterNorm)
			gauge("prototypes", "Outputs that are the teacher's largest for an image of the batch.", float64(s.Prototypes))
			gauge("gradient_norm", "Norm of all gradients before clipping.", s.GradNorm)
		}
	}
	done, bad, knn := 0, 0, -1
	for i, e := range log.Epochs {
		if done, bad = e.Epoch+1, e.BadFiles; e.KNN != nil {
			knn = i
		}
	}
	gauge("epochs", "Epochs done.", float64(done))
	gauge("bad_images", "Images found unreadable.", float64(bad))
	gauge("collapses", "Epochs after which a collapse was named.", float64(len(log.Collapses)))
	if knn >= 0 {
		k := log.Epochs[knn].KNN
		gauge("knn_top1_percent", "k-NN top-1 of the teacher's features.", k.Top1)
		gauge("knn_top5_percent", "k-NN top-5 of the teacher's features.", k.Top5)
		gauge("effective_rank", "Effective rank of the judged images' features.", k.EffectiveRank)
		if k.Untrained != nil {
			gauge("knn_untrained_top1_percent", "k-NN top-1 of the network before training.", *k.Untrained)
		}
		if k.Pixels != nil {
			gauge("knn_pixels_top1_percent", "k-NN top-1 of raw pixels.", *k.Pixels)
		}
	}
}
