"""salbench: score models that predict where people look.

Data flows one way: dataset -> method -> protocol -> metrics -> result file -> table or submission.

checks      one gate per kind of input
files       images and maps from disk, atomic writes, content hashes
maps        map maths: resize, blur, density from fixations, quantise
sample      one stimulus with its ground truth; the coordinate convention
metrics     the nine metrics as plain functions of arrays, and one fused pass for all of them
datasets    one loader per data set, opened by name
augment     classical augmentations that move image, fixations and density together
protocol    named, versioned bundles of evaluation choices
registry    the contract of a method, and finding methods by name
weights     the published files that methods need, found and read
results     one JSON and one CSV per run
stats       confidence intervals
evaluate    the loop that scores a method on a data set
tables      result files beside the paper's numbers
submission  challenge files, written and then validated
sheet       contact sheets of augmentations
listing     what there is, by name
training    torch losses and the one training loop (needs torch)
ablation    one augmentation at a time: train, score, compare
speed       how fast the core is on this machine, beside pysaliency

Importing `salbench` imports none of these; import the room you need.
"""

__version__ = "0.1.0"
