use super::*;

/// A place on a connection over `io`.
pub(crate) async fn place<T: AsyncRead + AsyncWrite + Unpin + 'static>(io: T) -> Place {
    let channel = Rc::new(start(io).await.expect("the far end speaks HTTP/2"));
    channel.streams.set(1);
    Place { peer: peer(), channel, trying: RefCell::default() }
}

/// What is to be seen of a place's connection when the place is gone.
pub(crate) struct Look(Rc<Channel>);

impl Place {
    pub(crate) fn another_look(&self) -> Look {
        Look(Rc::clone(&self.channel))
    }
}

impl Look {
    pub(crate) fn streams(&self) -> usize {
        self.0.streams.get()
    }
}

const WAIT: Duration = Duration::from_secs(10);

fn peer() -> Rc<Peer> {
    Rc::new(Peer::new(SocketAddr::from(([127, 0, 0, 1], 9002)), None, WAIT))
}

/// Requests that come one after the other and wait in vain.
async fn hangs(peer: &Rc<Peer>, times: u32) {
    for _ in 0..times {
        let begun = Instant::now();
        let _trying = peer.admit().expect("it is asked");
        sleep(WAIT).await;
        peer.times_out(begun, "no answer");
    }
}

fn left(peer: &Rc<Peer>) -> Option<Duration> {
    peer.admit().err().map(|resting| resting.left)
}

#[test]
fn two_pools_of_one_name_each_keep_their_hint() {
    let folder = tempfile::tempdir().unwrap();
    let pools = "
apiVersion: inference.networking.k8s.io/v1
kind: InferencePool
metadata: {name: gemma}
spec: {selector: {matchLabels: {app: gemma}}, targetPorts: [{number: 8000}], endpointPickerRef: {name: epp, port: {number: 9002}}}
---
apiVersion: inference.networking.x-k8s.io/v1alpha2
kind: InferencePool
metadata: {name: gemma}
spec: {selector: {app: gemma}, targetPortNumber: 8000, extensionRef: {name: epp}}
";
    std::fs::write(folder.path().join("pools.yaml"), pools).unwrap();
    let world = state::World::new(state::Settings::default(), state::Clock::start());
    world.apply(resources::Folder::new(&[folder.path().to_owned()]).load());
    let pools = &world.load().pools;
    assert_eq!(pools.len(), 2);
    let settings = Settings { connect_timeout: WAIT, body_bytes_max: 1, pick_timeout: WAIT };
    let pickers = Pickers::new(settings);
    let twice = [&pools[0], &pools[1], &pools[0], &pools[1]];
    let [first, second, again, and_again] = twice.map(|pool| pickers.hint(pool).as_ptr());
    assert_eq!((first, second), (again, and_again), "none was made anew");
    assert_eq!(pickers.hints.borrow().len(), 2);
}

#[test]
fn the_time_until_the_next_try_is_told_to_the_millisecond() {
    for (micros, told) in [(99_981, "0.1s"), (1_999_001, "2s"), (12_345_678, "12.346s"), (0, "0s")] {
        let resting = Resting { why: "no answer".to_owned(), left: Duration::from_micros(micros) };
        assert_eq!(resting.to_string(), format!("no answer; the next try is in {told}"));
    }
}

#[tokio::test]
async fn a_connection_whose_peer_says_goodbye_ends_its_streams_and_takes_no_further_one() {
    let (near, far) = tokio::io::duplex(1 << 16);
    let looked = Notify::new();
    let picker = async {
        let mut connection = h2::server::handshake(far).await.unwrap();
        let (_request, mut respond) = connection.accept().await.unwrap().unwrap();
        connection.graceful_shutdown();
        let mut sending = respond.send_response(http::Response::new(()), false).unwrap();
        let ends = async {
            looked.notified().await;
            sending.send_data(Bytes::from_static(b"the answer"), true).unwrap();
        };
        let speaks = async { while let Some(Ok(_)) = connection.accept().await {} };
        tokio::join!(ends, speaks);
    };
    let gateway = async {
        let place = place(near).await;
        place.peer.channels.borrow_mut().push(Rc::clone(&place.channel));
        assert!(place.peer.channel_with_room().is_some());
        let post = http::Request::post("http://picker/").body(()).unwrap();
        let (answer, _sending) = place.sender().send_request(post, true).unwrap();
        let mut answer = answer.await.unwrap().into_body();
        assert!(place.peer.channel_with_room().is_none());
        looked.notify_one();
        assert_eq!(answer.data().await.unwrap().unwrap(), "the answer");
    };
    tokio::task::LocalSet::new().run_until(async { tokio::join!(picker, gateway) }).await;
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_lets_requests_wait_rests_and_is_tried_by_one_at_a_time() {
    let peer = peer();
    hangs(&peer, TIMEOUTS_MAX - 1).await;
    assert_eq!(left(&peer), None);
    hangs(&peer, 1).await;
    assert_eq!(left(&peer), Some(REST.0));
    sleep(REST.0).await;
    let trying = peer.admit().expect("one tries it");
    assert!(trying.is_some());
    assert_eq!(left(&peer), Some(Duration::ZERO), "no other does");
    drop(trying);
    hangs(&peer, 1).await;
    assert_eq!(left(&peer), Some(REST.0 * 2));
    sleep(REST.0 * 2).await;
    let trying = peer.admit().expect("one tries it");
    peer.works();
    assert!(peer.admit().expect("everybody may ask").is_none());
    drop(trying);
}

#[tokio::test(start_paused = true)]
async fn requests_that_wait_together_count_until_the_endpoint_rests_for_them() {
    let peer = peer();
    let begun = Instant::now();
    sleep(WAIT).await;
    for _ in 0..100 {
        peer.times_out(begun, "no answer");
    }
    assert_eq!(left(&peer), Some(REST.0), "it failed once");
}

#[tokio::test(start_paused = true)]
async fn an_answer_between_two_that_wait_in_vain_starts_the_count_anew() {
    let peer = peer();
    for _ in 0..5 {
        hangs(&peer, TIMEOUTS_MAX - 1).await;
        peer.works();
    }
    assert_eq!(left(&peer), None);
}
