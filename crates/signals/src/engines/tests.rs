use super::Engine;
use crate::{Adapters, Signals};

const PAGES: [(Engine, &str); 5] = [
    (Engine::Vllm, include_str!("pages/vllm.txt")),
    (Engine::Sglang, include_str!("pages/sglang.txt")),
    (Engine::TensorrtLlm, include_str!("pages/trtllm-serve.txt")),
    (Engine::Triton, include_str!("pages/triton.txt")),
    (Engine::LlamaCpp, include_str!("pages/llama.cpp.txt")),
];

fn read(wanted: Engine) -> Signals {
    let (_, page) = PAGES.into_iter().find(|(engine, _)| *engine == wanted).unwrap();
    wanted.read(page.as_bytes())
}

fn names(list: &[&str]) -> Vec<Box<str>> {
    list.iter().map(|name| Box::from(*name)).collect()
}

#[test]
fn each_engine_is_told_by_its_page() {
    for (engine, page) in PAGES {
        assert_eq!(Engine::detect(page.as_bytes()), Some(engine));
    }
    assert_eq!(Engine::detect(b"go_goroutines 12\nprocess_start_time_seconds 1e9\n"), None);
    assert_eq!(Engine::detect(b"{\"error\":\"not found\"}"), None);
}

#[test]
fn an_engine_reads_nothing_from_the_page_of_another() {
    for engine in Engine::ALL {
        for (_, page) in PAGES.into_iter().filter(|(other, _)| *other != engine) {
            assert_eq!(engine.read(page.as_bytes()), Signals::default(), "{engine:?}");
        }
    }
}

#[test]
fn vllm_is_read_by_its_names() {
    let adapters = Adapters { max: 4, running: names(&["sql", "summary"]), waiting: names(&["legal"]) };
    let expected = Signals {
        waiting: Some(7),
        running: Some(3),
        kv_used: Some(0.25),
        block_tokens: Some(16),
        blocks: Some(16_384),
        adapters: Some(adapters),
        served: Some(1234.0),
    };
    assert_eq!(read(Engine::Vllm), expected);
}

#[test]
fn old_vllm_tells_its_kv_use_by_another_name() {
    let page =
        b"vllm:gpu_cache_usage_perc{model_name=\"m\"} 0.5\nvllm:num_requests_waiting{model_name=\"m\"} 1\n";
    let signals = Engine::Vllm.read(page);
    assert_eq!((signals.kv_used, signals.waiting), (Some(0.5), Some(1)));
}

#[test]
fn data_parallel_ranks_of_vllm_are_one_endpoint() {
    let page = br#"vllm:num_requests_waiting{engine="0",model_name="m"} 3
vllm:num_requests_waiting{engine="1",model_name="m"} 4
vllm:kv_cache_usage_perc{engine="0",model_name="m"} 0.75
vllm:kv_cache_usage_perc{engine="1",model_name="m"} 0.25
vllm:cache_config_info{block_size="16",engine="0",num_gpu_blocks="100"} 1
vllm:cache_config_info{block_size="16",engine="1",num_gpu_blocks="100"} 1
"#;
    let signals = Engine::Vllm.read(page);
    assert_eq!((signals.waiting, signals.kv_used), (Some(7), Some(0.5)));
    assert_eq!((signals.block_tokens, signals.blocks), (Some(16), Some(200)));
}

#[test]
fn adapters_that_were_never_asked_for_are_an_empty_list_and_without_lora_there_is_none() {
    let page = b"vllm:lora_requests_info{max_lora=\"2\",running_lora_adapters=\"\",waiting_lora_adapters=\"\"} 1.0\n";
    assert_eq!(Engine::Vllm.read(page).adapters, Some(Adapters { max: 2, ..Adapters::default() }));
    assert_eq!(Engine::Vllm.read(b"vllm:num_requests_running 1\n").adapters, None);
}

#[test]
fn sglang_is_read_by_its_names_with_its_ranks_summed_and_its_priorities_not() {
    let expected = Signals {
        waiting: Some(9),
        running: Some(6),
        kv_used: Some(0.375),
        block_tokens: Some(64),
        blocks: Some(11_147),
        adapters: None,
        served: Some(541.5),
    };
    assert_eq!(read(Engine::Sglang), expected);
}

#[test]
fn newer_sglang_tells_its_cache_by_two_gauges() {
    let signals =
        Engine::Sglang.read(b"sglang:page_size{tp_rank=\"0\"} 16\nsglang:num_pages{tp_rank=\"0\"} 9\n");
    assert_eq!((signals.block_tokens, signals.blocks), (Some(16), Some(9)));
}

#[test]
fn trtllm_serve_is_read_by_its_names() {
    let expected = Signals {
        waiting: Some(1),
        running: Some(6),
        kv_used: Some(0.75),
        block_tokens: Some(32),
        blocks: Some(6_239),
        adapters: None,
        served: Some(12.0),
    };
    assert_eq!(read(Engine::TensorrtLlm), expected);
}

#[test]
fn triton_is_read_by_its_names_and_labels() {
    let expected = Signals {
        waiting: Some(3),
        running: Some(4),
        kv_used: Some(0.5),
        block_tokens: Some(64),
        blocks: Some(6_239),
        adapters: None,
        served: Some(60.0),
    };
    assert_eq!(read(Engine::Triton), expected);
}

#[test]
fn llama_cpp_is_read_by_its_names_and_has_no_kv_use() {
    let expected =
        Signals { waiting: Some(46), running: Some(4), served: Some(10_355.0), ..Signals::default() };
    assert_eq!(read(Engine::LlamaCpp), expected);
}
