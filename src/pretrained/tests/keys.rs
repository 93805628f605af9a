use super::*;

/// Fixture, key, value: all are refused by name, with the value found.
fn refused() -> Vec<(&'static str, &'static str, Value)> {
    vec![
        ("llama", "model_type", json!("bert")),
        ("llama", "model_type", Value::Null),
        (
            "llama",
            "architectures",
            json!(["LlamaForSequenceClassification"]),
        ),
        (
            "llama",
            "quantization_config",
            json!({ "quant_method": "fp8" }),
        ),
        ("llama", "compression_config", json!({ "format": "int8" })),
        (
            "llama",
            "auto_map",
            json!({ "AutoModelForCausalLM": "modeling.Model" }),
        ),
        ("llama", "is_encoder_decoder", json!(true)),
        ("llama", "pruned_heads", json!({ "0": [1] })),
        ("llama", "hidden_act", json!("mish")),
        ("llama", "hidden_size", json!("32")),
        ("llama", "num_key_value_heads", json!(3)),
        ("llama", "head_dim", json!(7)),
        ("llama", "num_hidden_layers", json!(5000)),
        ("llama", "rms_norm_eps", json!(0)),
        ("llama", "max_position_embeddings", json!(4_000_000_000_u64)),
        ("llama", "attention_bias", json!("no")),
        ("llama", "rope_interleaved", json!(true)),
        ("llama", "use_a_thing_of_tomorrow", json!(2.5)),
        ("llama", "sliding_window", json!(12)),
        ("llama", "no_rope_layers", json!([1, 0])),
        (
            "mistral",
            "layer_types",
            json!(["full_attention", "full_attention"]),
        ),
        ("mistral", "sliding_window", json!(-1)),
        ("qwen2-window", "layer_types", json!(["full_attention"])),
        ("qwen2-window", "sliding_window", Value::Null),
        (
            "qwen3",
            "layer_types",
            json!(["chunked_attention", "full_attention"]),
        ),
        ("gemma", "use_bidirectional_attention", json!(true)),
        ("gemma", "hidden_activation", json!("silu")),
        ("gemma2", "final_logit_softcapping", json!(-1.0)),
        ("gemma3", "attn_logit_softcapping", json!(50.0)),
        ("gemma3", "sliding_window", Value::Null),
        ("phi3", "mlp_bias", json!(true)),
        ("smollm3", "no_rope_layers", json!([1])),
        ("granite", "logits_scaling", json!(0.0)),
        ("gpt-neox", "num_key_value_heads", json!(2)),
        ("gpt2", "n_embd", json!(33)),
        ("gpt2", "add_cross_attention", json!(true)),
        ("gpt2", "activation_function", json!("quick_gelu")),
    ]
}

#[test]
fn a_key_that_changes_numbers_is_read_or_refused_by_name() {
    for (fixture, key, value) in refused() {
        let copy = Copy::of(fixture);
        let message = copy.set(key, value.clone()).refusal();
        let is_named = message.contains("config.json") && message.contains(key);
        assert!(is_named, "{fixture}: {message}");
        let got = value.to_string();
        let has_other_words = ["7", "33"].contains(&&*got);
        assert!(message.contains(&got) || has_other_words, "{message}");
    }
}

#[test]
fn an_unsupported_family_is_refused_with_the_list_and_the_reason() {
    let cases = [
        (
            json!({ "model_type": "bert", "architectures": ["BertForMaskedLM"] }),
            "no next-token logits",
        ),
        (
            json!({ "model_type": "t5", "is_encoder_decoder": true }),
            "has an encoder",
        ),
        (
            json!({ "model_type": "gemma3", "text_config": {} }),
            "more than text",
        ),
        (
            json!({ "model_type": "mamba", "architectures": ["MambaForCausalLM"] }),
            "export it to ONNX",
        ),
    ];
    for (config, reason) in cases {
        let copy = Copy::of("llama");
        let message = copy.write_config(&config).refusal();
        assert!(message.contains(reason), "{message}");
        for family in [
            "Llama (llama)",
            "Gemma 3 (text) (gemma3_text)",
            "GPT-2 (gpt2)",
        ] {
            assert!(message.contains(family), "{message}");
        }
    }
}

#[test]
fn rope_parameters_that_contradict_or_say_too_much_are_refused() {
    let rope = |more: Value| {
        let mut rope = json!({ "rope_theta": 10000.0, "rope_type": "default" });
        rope.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        rope
    };
    let cases = [
        (
            rope(json!({ "rope_type": "su2" })),
            "rope_parameters.rope_type",
        ),
        (rope(json!({ "factor": 8.0 })), "rope_parameters.factor"),
        (
            rope(json!({ "rope_type": "linear" })),
            "rope_parameters.factor",
        ),
        (
            rope(json!({ "rope_type": "linear", "factor": "4" })),
            "rope_parameters.factor",
        ),
        (
            rope(json!({ "rope_type": "dynamic", "factor": 2.0, "alpha": 1000.0 })),
            "rope_parameters.alpha",
        ),
        (
            rope(json!({ "mrope_section": [1, 1] })),
            "rope_parameters.mrope_section",
        ),
        (
            rope(
                json!({ "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 4.0, "high_freq_factor": 1.0 }),
            ),
            "rope_parameters.high_freq_factor",
        ),
        (
            rope(json!({ "rope_type": "longrope", "short_factor": [1.0], "long_factor": [1.0] })),
            "rope_parameters.short_factor",
        ),
        (
            rope(json!({ "partial_rotary_factor": 1.5 })),
            "rope_parameters.partial_rotary_factor",
        ),
        (
            rope(json!({ "partial_rotary_factor": 0.13 })),
            "rope_parameters.partial_rotary_factor",
        ),
        (json!("yarn"), "rope_parameters"),
    ];
    for (value, key) in cases {
        let copy = Copy::of("llama");
        let message = copy.set("rope_parameters", value).refusal();
        assert!(message.contains(&format!("{key}:")), "{message}");
    }
    let copy = Copy::of("llama");
    let message = copy.set("rope_theta", json!(500.0)).refusal();
    assert!(message.contains("named elsewhere"), "{message}");
}

#[test]
fn keys_that_change_nothing_are_left_alone() {
    let usual = [
        ("torch_dtype", json!("bfloat16")),
        ("pretraining_tp", json!(2)),
        ("unsloth_version", json!("2025.1")),
        ("transformers.js_config", json!({ "dtype": "q4" })),
        ("use_a_thing_of_tomorrow", json!(false)),
        ("rope_theta", json!(10000)),
        ("rope_scaling", Value::Null),
        ("quantization_config", Value::Null),
        ("architectures", Value::Null),
        ("eos_token_id", json!([2, 3])),
    ];
    let before = Copy::of("llama").open().unwrap().spec;
    for (key, value) in usual {
        let copy = Copy::of("llama");
        let spec = copy.set(key, value).open().unwrap().spec;
        assert_eq!(spec, before, "{key}");
    }
}

#[test]
fn a_key_that_is_not_there_has_the_default_of_its_family() {
    let mistral = Copy::of("mistral");
    let spec = mistral.unset("sliding_window").open().unwrap().spec;
    assert_eq!(spec.layers[0].attention.window, Some(4096));
    let smollm3 = Copy::of("smollm3");
    let spec = smollm3.unset("no_rope_layers").open().unwrap().spec;
    assert!(
        spec.layers
            .iter()
            .all(|layer| layer.attention.rotary == Some(0))
    );
    let gpt2 = Copy::of("gpt2");
    gpt2.unset("tie_word_embeddings")
        .unset("n_inner")
        .unset("activation_function");
    assert!(gpt2.open().unwrap().spec.head.is_tied);
    let qwen3 = Copy::of("qwen3");
    let config = Section::open(&qwen3.unset("head_dim").path("config.json")).unwrap();
    let spec = describe(&config).unwrap();
    assert_eq!(spec.layers[0].attention.head_dim, 128);
}

#[test]
fn phi_3_may_bring_the_code_that_transformers_has_by_now() {
    let map = json!({ "AutoConfig": "configuration_phi3.Phi3Config", "AutoModelForCausalLM": "modeling_phi3.Phi3ForCausalLM" });
    Copy::of("phi3")
        .set("auto_map", map.clone())
        .open()
        .unwrap();
    let message = Copy::of("qwen2").set("auto_map", map).refusal();
    assert!(message.contains("its own code"), "{message}");
}
