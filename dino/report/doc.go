// Package report shows a run: report.html, one file that needs nothing else, and the same live in a browser.
//
// A [Recorder] listens to a run's events and keeps the page, and in the folder report/ beside it what the page is made from and log.jsonl does
// not tell: pictures, and what the machine is. [Write] makes the page again from these files. A [Server] answers with it, and with the
// attention of a picture that it is sent.
//
//	rec := report.NewRecorder(run, report.Options{Version: "1.0"})
//	err := run.Run(ctx, rec.Events(dino.Events{}))
//	rec.Finish(err)
//
// The page holds thumbnails of some of the run's pictures.
package report

// PageName is the file of the page in a run's directory.
const PageName = "report.html"

// partsName is the folder of what the page is made from.
const partsName = "report"
