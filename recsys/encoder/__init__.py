"""The Transformer that turns a behaviour sequence into a vector: vocabulary, model, training and batch inference."""
