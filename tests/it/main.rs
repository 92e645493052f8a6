//! Black-box tests of the library's rooms and of the real program, one module per theme.

mod decode;
mod tokenizer;
