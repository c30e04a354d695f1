"""Looking after a results folder: how far a study is, what is damaged, what nobody needs. Torch-free; reads files."""
