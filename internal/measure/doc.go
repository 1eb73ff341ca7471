// Package measure is what the benchmarks of bench and the command dino bench have in common: what is measured, at which sizes, how much work it
// is, and what bounds its rate.
//
// Rates are in GFLOP/s, 10⁹ float32 operations a second of which a multiply-add is two, in GB/s, 10⁹ bytes a second, or in images a second. A
// rate is that of the shortest of several runs: whatever else a machine does can only slow one down. It says little without the bound beside
// it, so bounds are measured in the same run too.
package measure
