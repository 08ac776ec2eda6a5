"""Transfer benchmarks: any checkpoint, converted with proof, trained under a named protocol, recorded, reported."""
