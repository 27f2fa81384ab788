//! Builds the book, and serves it on loopback: `cargo run -p wavetank-book -- build|serve [PORT]`.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use mdbook_driver::MDBook;

fn main() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments
        .iter()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .as_slice()
    {
        ["build"] => build(root).map(|folder| println!("built {}", folder.display())),
        ["serve"] => serve(&build(root)?, 3000),
        ["serve", port] => serve(&build(root)?, port.parse().context("PORT is a number")?),
        _ => bail!("usage: wavetank-book build | serve [PORT]"),
    }
}

/// Builds into `target/book` and returns that folder. Any error mdBook reports is an error here.
fn build(root: &Path) -> Result<PathBuf> {
    let book = MDBook::load(root)?;
    book.build()?;
    Ok(root.join(&book.config.build.build_dir))
}

/// Serves the built folder on loopback, one request at a time: enough for one reader.
fn serve(folder: &Path, port: u16) -> Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", port))
        .with_context(|| format!("port {port} is in use; name another: serve PORT"))?;
    println!("http://{}/", listener.local_addr()?);
    for stream in listener.incoming() {
        // A browser that hangs up early is no reason to stop serving.
        if let Err(error) = stream.map_err(Into::into).and_then(|s| answer(folder, s)) {
            eprintln!("{error}");
        }
    }
    Ok(())
}

fn answer(folder: &Path, mut stream: TcpStream) -> Result<()> {
    let mut line = String::new();
    BufReader::new(&stream).read_line(&mut line)?;
    let path = line
        .split_whitespace()
        .nth(1)
        .unwrap_or("/")
        .split('?')
        .next()
        .unwrap_or("/");
    let mut file = folder.join(path.trim_start_matches('/'));
    if path.contains("..") {
        file = folder.to_owned();
    }
    if file.is_dir() {
        file = file.join("index.html");
    }
    let kind = match file.extension().and_then(|e| e.to_str()) {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css",
        Some("js") => "text/javascript",
        Some("svg") => "image/svg+xml",
        Some("json") => "application/json",
        _ => "application/octet-stream",
    };
    let (status, body) = match fs::read(&file) {
        Ok(body) => ("200 OK", body),
        Err(_) => ("404 Not Found", b"not found".to_vec()),
    };
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\
         connection: close\r\n\r\n"
    )?;
    Ok(stream.write_all(&body)?)
}
