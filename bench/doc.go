// Package bench measures the engine: its operations against the ceilings of the machine, measured in the same run. Nothing imports it.
package bench
