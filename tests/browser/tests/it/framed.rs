//! A page of somebody else puts ours into its frames, to have people click there on what
//! they do not see: the browser shows nothing of ours in them.

use crate::site::Site;
use procura_browser::{Browser, Screen};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};

/// Begins a site that shows these addresses in frames, behind a page of its own in the first;
/// where it is. It goes on as long as the tests do.
fn elsewhere(addresses: &[String]) -> String {
    let frames = addresses.iter();
    let frames: String = frames
        .map(|address| format!("<iframe src=\"{address}\"></iframe>"))
        .collect();
    let page = format!("<!DOCTYPE html><h1>You won</h1><iframe src=\"/own\"></iframe>{frames}");
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let page = page.clone();
            // A browser opens connections that it does not use yet.
            std::thread::spawn(move || answer(stream, &page));
        }
    });
    // Another port of one name: another origin, to which the browser brings the cookies all
    // the same.
    format!("http://localhost:{port}/")
}

fn answer(mut stream: TcpStream, page: &str) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let (mut first, mut line) = (String::new(), String::new());
    let _ = reader.read_line(&mut first);
    while reader.read_line(&mut line).is_ok_and(|length| length > 2) {
        line.clear();
    }
    let body = match first.contains(" /own ") {
        true => "<!DOCTYPE html><p>A frame of this site</p>",
        false => page,
    };
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/html; charset=utf-8\r\nconnection: close";
    let length = body.len();
    // The browser may have gone by now.
    let _ = write!(stream, "{head}\r\ncontent-length: {length}\r\n\r\n{body}");
}

#[test]
fn nobody_elsewhere_frames_a_page() {
    let mut site = Site::new();
    site.ask(&["API_KEY"]);
    let list = ["-n", "shop", "--json", "request", "list"];
    let waiting = site.server.cli(&list).ok().json();
    let id = waiting["requests"][0]["id"].as_str().unwrap();
    let browser = Browser::open(Screen::Desk);
    browser.go(&site.page("/requests"));
    site.sign_in(&browser);
    browser.see("Requests that wait");
    let _ = browser.said();
    let request = format!("/requests/shop/{id}");
    let ours = ["/requests", &request, "/grants", "/sign-in"].map(|path| site.page(path));
    browser.go(&elsewhere(&ours));
    browser.see("You won");
    // What is in a frame can be seen from here, where there is anything.
    let (address, text) = browser.framed(0);
    assert_eq!(text, "A frame of this site", "{address}");
    for (place, ours) in (1..).zip(&ours) {
        let (address, text) = browser.framed(place);
        // Where browsers put what they do not show.
        assert!(address.starts_with("chrome-error:"), "{ours}: {address}");
        for word in ["Requests", "scribe", "Deny", "Grants", "Password"] {
            assert!(!text.contains(word), "{ours}: {text}");
        }
    }
    let said = browser.said();
    let why = "frame-ancestors 'none'";
    assert!(said.iter().any(|line| line.contains(why)), "{said:?}");
    // The same pages stand by themselves.
    browser.go(&site.page(&request));
    browser.see("API_KEY");
}
