//! Keys in `config.json` of published models: each is read or known.

use super::*;

/// The keys that all of them have, with small sizes.
fn with(more: Value) -> Value {
    let mut config = json!({
        "bos_token_id": 1, "eos_token_id": 2, "initializer_range": 0.02, "torch_dtype": "bfloat16",
        "transformers_version": "4.40.0", "use_cache": true, "vocab_size": 128,
        "attention_dropout": 0.0, "hidden_act": "silu", "hidden_size": 64, "intermediate_size": 96,
        "max_position_embeddings": 4096, "num_attention_heads": 4, "num_hidden_layers": 4,
        "num_key_value_heads": 2, "rms_norm_eps": 1e-6, "rope_theta": 10000.0, "rope_scaling": null,
    });
    let config_fields = config.as_object_mut().unwrap();
    config_fields.extend(more.as_object().unwrap().clone());
    config
}

fn published() -> Vec<(&'static str, Value)> {
    vec![
        (
            "SmolLM2-135M",
            with(json!({
                "architectures": ["LlamaForCausalLM"], "model_type": "llama", "attention_bias": false,
                "is_llama_config": true, "mlp_bias": false, "pretraining_tp": 1,
                "rope_interleaved": false, "tie_word_embeddings": true,
            })),
        ),
        (
            "Llama-3.2-1B",
            with(json!({
                "architectures": ["LlamaForCausalLM"], "model_type": "llama", "head_dim": 16,
                "eos_token_id": [128001, 128008, 128009], "mlp_bias": false, "pretraining_tp": 1,
                "rope_scaling": { "factor": 32.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0,
                    "original_max_position_embeddings": 8192, "rope_type": "llama3" },
            })),
        ),
        (
            "Mistral-7B-v0.1",
            with(json!({
                "architectures": ["MistralForCausalLM"], "model_type": "mistral",
                "sliding_window": 4096, "tie_word_embeddings": false,
            })),
        ),
        (
            "Qwen2.5-0.5B",
            with(json!({
                "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "max_window_layers": 24,
                "sliding_window": 32768, "tie_word_embeddings": true, "use_mrope": false,
                "use_sliding_window": false,
            })),
        ),
        (
            "Qwen3-0.6B",
            with(json!({
                "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "attention_bias": false,
                "head_dim": 128, "max_window_layers": 28, "sliding_window": null,
                "tie_word_embeddings": true, "use_sliding_window": false,
            })),
        ),
        (
            "gemma-2b",
            with(json!({
                "architectures": ["GemmaForCausalLM"], "model_type": "gemma", "head_dim": 256,
                "hidden_act": "gelu", "hidden_activation": null, "attention_bias": false,
            })),
        ),
        (
            "gemma-2-2b",
            with(json!({
                "architectures": ["Gemma2ForCausalLM"], "model_type": "gemma2", "head_dim": 256,
                "hidden_act": "gelu_pytorch_tanh", "hidden_activation": "gelu_pytorch_tanh",
                "attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0,
                "cache_implementation": "hybrid", "query_pre_attn_scalar": 256,
                "sliding_window": 4096, "attention_bias": false,
            })),
        ),
        (
            "gemma-3-1b-pt",
            with(json!({
                "architectures": ["Gemma3ForCausalLM"], "model_type": "gemma3_text", "head_dim": 256,
                "hidden_activation": "gelu_pytorch_tanh", "attn_logit_softcapping": null,
                "final_logit_softcapping": null, "cache_implementation": "hybrid",
                "query_pre_attn_scalar": 256, "rope_local_base_freq": 10000,
                "sliding_window": 512, "sliding_window_pattern": 6, "attention_bias": false,
            })),
        ),
        (
            "OLMo-2-0425-1B",
            with(json!({
                "architectures": ["Olmo2ForCausalLM"], "model_type": "olmo2", "attention_bias": false,
                "tie_word_embeddings": false,
            })),
        ),
        (
            "Phi-3-mini-4k-instruct",
            with(json!({
                "architectures": ["Phi3ForCausalLM"], "model_type": "phi3", "attention_bias": false,
                "auto_map": { "AutoConfig": "configuration_phi3.Phi3Config",
                    "AutoModelForCausalLM": "modeling_phi3.Phi3ForCausalLM" },
                "embd_pdrop": 0.0, "original_max_position_embeddings": 4096, "resid_pdrop": 0.0,
                "sliding_window": 2047, "tie_word_embeddings": false,
            })),
        ),
        (
            "Phi-4-mini-instruct",
            with(json!({
                "architectures": ["Phi3ForCausalLM"], "model_type": "phi3", "attention_bias": false,
                "auto_map": { "AutoConfig": "configuration_phi3.Phi3Config",
                    "AutoModelForCausalLM": "modeling_phi3.Phi3ForCausalLM",
                    "AutoTokenizer": "Xenova/gpt-4o" },
                "embd_pdrop": 0.0, "full_attn_mod": 1, "interpolate_factor": 1, "lm_head_bias": false,
                "max_position_embeddings": 131_072, "mlp_bias": false,
                "original_max_position_embeddings": 4096, "partial_rotary_factor": 0.75,
                "rope_scaling": { "long_factor": [1, 2, 3, 4, 5, 6], "type": "longrope",
                    "short_factor": [1.0, 1.0, 1.0, 1.0, 1.0, 1.0] },
                "sliding_window": 262_144, "tie_word_embeddings": true,
            })),
        ),
        (
            "SmolLM3-3B",
            with(json!({
                "architectures": ["SmolLM3ForCausalLM"], "model_type": "smollm3", "mlp_bias": false,
                "layer_types": ["full_attention", "full_attention", "full_attention", "full_attention"],
                "max_window_layers": 28, "no_rope_layer_interval": 4, "no_rope_layers": [1, 1, 1, 0],
                "pretraining_tp": 2, "sliding_window": null, "use_sliding_window": false,
            })),
        ),
        (
            "granite-3.1-2b-base",
            with(json!({
                "architectures": ["GraniteForCausalLM"], "model_type": "granite", "mlp_bias": false,
                "attention_multiplier": 0.015625, "embedding_multiplier": 12.0,
                "logits_scaling": 8.0, "residual_multiplier": 0.22, "tie_word_embeddings": true,
            })),
        ),
        (
            "pythia-160m",
            json!({
                "architectures": ["GPTNeoXForCausalLM"], "model_type": "gpt_neox", "bos_token_id": 0,
                "eos_token_id": 0, "hidden_act": "gelu", "hidden_size": 64, "initializer_range": 0.02,
                "intermediate_size": 96, "layer_norm_eps": 1e-5, "max_position_embeddings": 2048,
                "num_attention_heads": 4, "num_hidden_layers": 4, "rotary_emb_base": 10000,
                "rotary_pct": 0.25, "tie_word_embeddings": false, "torch_dtype": "float16",
                "use_cache": true, "use_parallel_residual": true, "vocab_size": 128,
            }),
        ),
        (
            "gpt2",
            json!({
                "activation_function": "gelu_new", "architectures": ["GPT2LMHeadModel"],
                "attn_pdrop": 0.1, "bos_token_id": 50256, "embd_pdrop": 0.1, "eos_token_id": 50256,
                "initializer_range": 0.02, "layer_norm_epsilon": 1e-5, "model_type": "gpt2",
                "n_ctx": 1024, "n_embd": 64, "n_head": 4, "n_layer": 4, "n_positions": 1024,
                "resid_pdrop": 0.1, "summary_activation": null, "summary_first_dropout": 0.1,
                "summary_proj_to_labels": true, "summary_type": "cls_index", "summary_use_proj": true,
                "task_specific_params": { "text-generation": { "do_sample": true, "max_length": 50 } },
                "vocab_size": 128,
            }),
        ),
        (
            "distilgpt2 and gpt2-xl",
            json!({
                "_num_labels": 1, "activation_function": "gelu_new",
                "architectures": ["GPT2LMHeadModel"], "attn_pdrop": 0.1, "bos_token_id": 50256,
                "embd_pdrop": 0.1, "eos_token_id": 50256, "id2label": { "0": "LABEL_0" },
                "initializer_range": 0.02, "layer_norm_epsilon": 1e-5, "model_type": "gpt2",
                "n_ctx": 1024, "n_embd": 64, "n_head": 4, "n_layer": 4, "n_positions": 1024,
                "n_special": 0, "output_past": true, "predict_special_tokens": true,
                "resid_pdrop": 0.1, "vocab_size": 128,
            }),
        ),
    ]
}

/// The default in transformers' Phi3Config is 4096, whatever the longest sequence.
#[test]
fn phi3_without_its_original_length_has_that_of_transformers() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.json");
    let described = |config: &Value| {
        std::fs::write(&path, config.to_string()).unwrap();
        describe(&Section::open(&path).unwrap()).unwrap().rotary
    };
    let (_, mut config) = published()
        .into_iter()
        .find(|(name, _)| *name == "Phi-4-mini-instruct")
        .unwrap();
    let description = described(&config);
    let key = "original_max_position_embeddings";
    assert_eq!(
        config.as_object_mut().unwrap().remove(key),
        Some(json!(4096))
    );
    assert_eq!(described(&config), description);
}

#[test]
fn configurations_of_published_models_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.json");
    for (name, config) in published() {
        std::fs::write(&path, config.to_string()).unwrap();
        let described = describe(&Section::open(&path).unwrap());
        let spec = described.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(spec.layers.len(), 4, "{name}");
    }
}
