// Package bench measures the engine: its operations, steps and pictures against the bounds of the machine, measured in the same run. What is
// measured is listed in internal/measure, which the command dino bench has in common with it; docs/performance.md tells how to read it.
// Nothing imports this package.
package bench
