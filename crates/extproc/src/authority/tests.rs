use super::*;
use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::convert::Infallible;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const PREFACE: &[u8; PREFACE_BYTES] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
const END_STREAM_AND_HEADERS: u8 = 0x05;
/// Of RFC 7541: GET http://www.example.com/ as C.3.1 and, in Huffman's code, as C.4.1 has it.
const PLAIN: &[u8] = b"\x82\x86\x84\x41\x0fwww.example.com";
const CODED: &[u8] = b"\x82\x86\x84\x41\x8c\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff";
const LETTERS: &[u8] = b"\x82\x86\x84\x41\x0faaaaaaaaaaaaaaa";

fn written(block: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    write_block(block, &mut out);
    out
}

fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&length[1..], &[kind, flags, 0, 0, 0, stream], payload].concat()
}

/// What comes out when the bytes come in pieces of this size.
fn through(bytes: &[u8], piece: usize) -> Vec<u8> {
    let mut scanner = Scanner { pass: PREFACE_BYTES, ..Scanner::default() };
    let mut out = Vec::new();
    for piece in bytes.chunks(piece) {
        let passed = scanner.scan(piece);
        out.extend_from_slice(&piece[..passed]);
        let mut space = [0; 7];
        loop {
            let mut buf = ReadBuf::new(&mut space);
            if !scanner.give(&mut buf) {
                break;
            }
            out.extend_from_slice(buf.filled());
        }
    }
    out
}

#[test]
fn an_authority_becomes_as_many_letters_however_it_is_coded() {
    assert_eq!(written(PLAIN), LETTERS);
    assert_eq!(written(CODED), LETTERS);
    for never_or_not_indexed in [0x01, 0x11] {
        let block = [never_or_not_indexed, 3, b'a', b'|', b'b'];
        assert_eq!(written(&block), [never_or_not_indexed, 3, b'a', b'a', b'a']);
    }
}

#[test]
fn every_other_field_stays_as_it_is() {
    // An indexed field, the table's size, a path, a new name, a value longer than one byte tells.
    let long = [&[0x44, 0x7f, 0x49][..], &[b'/'; 200]].concat();
    let block = [&[0x82, 0x3f, 0xe1, 0x1f, 0x40, 1, b'x', 2, b'y', b'|'][..], &long].concat();
    assert_eq!(written(&block), block);
}

#[test]
fn a_long_authority_keeps_its_length() {
    let block = [&[0x41, 0x7f, 0x81, 0x01][..], &[b'|'; 256]].concat();
    assert_eq!(written(&block), [&[0x41, 0x7f, 0x81, 0x01][..], &[b'a'; 256]].concat());
}

#[test]
fn what_cannot_be_read_is_left_to_h2() {
    for block in
        [&[0x41][..], &[0x41, 0x05, b'a'], &[0x7f, 0xff, 0xff, 0xff, 0xff, 0xff], &[0x82, 0x40, 0x7f]]
    {
        assert_eq!(written(block), block);
    }
    let more_padding_than_payload = frame(HEADERS, PADDED, 1, &[9, 0x82]);
    let mut out = Vec::new();
    write_headers(&more_padding_than_payload, &mut out);
    assert_eq!(out, more_padding_than_payload);
}

#[test]
fn padding_and_priority_stay_round_the_block() {
    let payload = [&[2, 0, 0, 0, 0, 7][..], CODED, &[0, 0]].concat();
    let mut out = Vec::new();
    write_headers(&frame(HEADERS, PADDED | PRIORITY, 1, &payload), &mut out);
    assert_eq!(
        out,
        frame(HEADERS, PADDED | PRIORITY, 1, &[&[2, 0, 0, 0, 0, 7][..], LETTERS, &[0, 0]].concat())
    );
}

#[test]
fn frames_come_out_the_same_in_whatever_pieces_they_come() {
    let (body, headers) =
        (frame(0, 0, 1, &[0x41; 300]), |block| frame(HEADERS, END_STREAM_AND_HEADERS, 1, block));
    let long = frame(HEADERS, 0, 3, &[0x41; HEADERS_BYTES_MAX]);
    let sent = [PREFACE, &SETTINGS[..], &headers(CODED), &body, &long, &headers(PLAIN), &body].concat();
    let expected =
        [PREFACE, &SETTINGS[..], &headers(LETTERS), &body, &long, &headers(LETTERS), &body].concat();
    for piece in [1, 2, 8, 9, 10, 33, 57, 100, 4096, sent.len()] {
        assert_eq!(through(&sent, piece), expected, "in pieces of {piece}");
    }
}

#[test]
fn frames_that_say_no_authority_pass_where_they_lie() {
    let headers = frame(HEADERS, END_STREAM_AND_HEADERS, 1, b"\x82\x86\x84\xbe\x40\x01x\x01y");
    let sent = [&SETTINGS[..], &headers, &frame(0, 0, 1, &[0x41; 300]), &headers].concat();
    assert_eq!(Scanner::default().scan(&sent), sent.len());
}

/// The kind of the first frame that answers a request.
async fn answer(wrapped: bool, block: &[u8]) -> u8 {
    let (mut client, server) = tokio::io::duplex(4096);
    let service =
        hyper::service::service_fn(|_| async { Ok::<_, Infallible>(http::Response::new(String::new())) });
    let builder = http2::Builder::new(TokioExecutor::new());
    if wrapped {
        tokio::spawn(async move {
            let server = AnyAuthority::greeted(server).await.expect("the client greets");
            builder.serve_connection(TokioIo::new(server), service).await
        });
    } else {
        tokio::spawn(builder.serve_connection(TokioIo::new(server), service));
    }
    let request = frame(HEADERS, END_STREAM_AND_HEADERS, 1, block);
    client.write_all(&[PREFACE, &SETTINGS[..], &request].concat()).await.expect("the server reads");
    loop {
        let mut head = [0; FRAME_HEAD_BYTES];
        client.read_exact(&mut head).await.expect("the server answers");
        let frame = Frame::begins(&head).expect("a head is whole");
        client.read_exact(&mut vec![0; frame.bytes - FRAME_HEAD_BYTES]).await.expect("a frame is whole");
        if head[8] == 1 {
            return frame.kind;
        }
    }
}

#[tokio::test]
async fn a_cluster_of_istio_is_answered() {
    let block = b"\x83\x86\x84\x41\x18outbound|9002||epp.a.svc";
    assert_eq!(answer(true, block).await, HEADERS);
    assert_eq!(answer(false, block).await, 3, "h2 takes it by itself, and this file has had its day");
}
