use super::*;

#[test]
fn text_from_outside_is_code_on_one_line() {
    assert_eq!(code("model.onnx"), "`model.onnx`");
    assert_eq!(code("Modèle.onnx"), "`Modèle.onnx`");
    assert_eq!(
        code("a|b\n`c`\u{2066}"),
        r"`a\u{7c}b\u{a}\u{60}c\u{60}\u{2066}`"
    );
}
