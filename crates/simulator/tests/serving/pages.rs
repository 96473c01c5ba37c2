//! Each engine's metrics page, read back by the reader of the gateway.

use http::StatusCode;
use signals::Engine;
use simulator::{Config, EngineKind};

use crate::client::{fast, get, post, start};

#[tokio::test]
async fn every_engines_page_is_read_by_its_names() {
    let pages = [
        (EngineKind::Vllm, Engine::Vllm),
        (EngineKind::Sglang, Engine::Sglang),
        (EngineKind::TensorrtLlm, Engine::TensorrtLlm),
        (EngineKind::Triton, Engine::Triton),
        (EngineKind::LlamaCpp, Engine::LlamaCpp),
    ];
    for (kind, engine) in pages {
        assert_eq!(kind.to_string(), engine.name());
        let faults = vec!["metrics=3,2,0.5".parse().expect("a fault")];
        let (_, address) = start(Config { engine: kind, num_gpu_blocks: Some(77), faults, ..fast() }).await;
        post(address, "/v1/completions", r#"{"prompt":"hi"}"#).await;
        let page = get(address, "/metrics").await;
        assert_eq!(Engine::detect(&page.body), Some(engine));
        let signals = engine.read(&page.body);
        assert_eq!(signals.waiting, Some(3), "{kind}");
        assert_eq!(signals.running, Some(2), "{kind}");
        assert!(signals.served.is_some_and(|served| served > 0.0), "{kind}");
        if kind != EngineKind::LlamaCpp {
            assert_eq!(signals.kv_used, Some(0.5), "{kind}");
            assert_eq!(signals.block_tokens, Some(16), "{kind}");
            assert_eq!(signals.blocks, Some(77), "{kind}");
        }
    }
}

#[tokio::test]
async fn a_server_without_metrics_has_no_page() {
    let (_, address) = start(Config { engine: EngineKind::None, ..fast() }).await;
    assert_eq!(get(address, "/metrics").await.status, StatusCode::NOT_FOUND);
    assert_eq!(get(address, "/health").await.status, StatusCode::OK);
}
