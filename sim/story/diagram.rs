//! A story as a sequence diagram: an SVG of one lane for each who took part.
//!
//! Book: `book/src/simulator/search.md`.

use std::fmt::Write;
use std::sync::Arc;

use super::{Line, Story};
use crate::world::BEGINNING;

const LANE: usize = 190;
const ROW: usize = 44;
const TOP: usize = 70;
const LEFT: usize = 120;

impl Story {
    /// The story as an SVG image, complete in itself.
    pub fn to_svg(&self) -> String {
        let lanes = self.lanes();
        let width = LEFT + lanes.len().max(1) * LANE + 40;
        let height = TOP + (self.lines.len() + 1) * ROW + 30;
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
             font-family=\"sans-serif\" font-size=\"12\">\n\
             <rect width=\"{width}\" height=\"{height}\" fill=\"white\"/>\n\
             <defs><marker id=\"tip\" viewBox=\"0 0 8 8\" refX=\"8\" refY=\"4\" markerWidth=\"8\" \
             markerHeight=\"8\" orient=\"auto\"><path d=\"M0,0 L8,4 L0,8 z\"/></marker></defs>\n"
        );
        for (number, lane) in lanes.iter().enumerate() {
            let x = lane_x(number);
            let bottom = height - 40;
            // Writing to a String cannot fail.
            let _ = writeln!(
                svg,
                "<text x=\"{x}\" y=\"40\" text-anchor=\"middle\" font-weight=\"bold\">{}</text>\n\
                 <line x1=\"{x}\" y1=\"50\" x2=\"{x}\" y2=\"{bottom}\" stroke=\"#bbb\"/>",
                escape(lane)
            );
        }
        for (row, line) in self.lines.iter().enumerate() {
            draw(&mut svg, &lanes, row, line, width);
        }
        if let Some(broken) = &self.broken {
            let y = TOP + self.lines.len() * ROW + 14;
            let what = format!("{} is broken: {}", broken.invariant.name(), broken.what);
            let _ = writeln!(
                svg,
                "<text x=\"10\" y=\"{y}\" fill=\"#b00\" font-weight=\"bold\">{}</text>",
                escape(&cut(&what, width / 7))
            );
        }
        svg.push_str("</svg>\n");
        svg
    }

    /// Who took part, the scenario first and the store last.
    fn lanes(&self) -> Vec<Arc<str>> {
        let mut lanes: Vec<Arc<str>> = Vec::new();
        let by_scenario = self
            .lines
            .iter()
            .filter(|line| &*line.who == super::OPERATOR);
        for line in by_scenario.chain(&self.lines) {
            if !lanes.contains(&line.who) && &*line.who != super::STORE {
                lanes.push(line.who.clone());
            }
        }
        lanes.push(super::STORE.into());
        lanes
    }
}

/// One line of the story: a dot for what somebody does, an arrow for what reaches another.
fn draw(svg: &mut String, lanes: &[Arc<str>], row: usize, line: &Line, width: usize) {
    let y = TOP + row * ROW + 14;
    let at = line.at.since(BEGINNING).as_secs_f64();
    let from = lanes
        .iter()
        .position(|lane| *lane == line.who)
        .map_or(LEFT, lane_x);
    let to = line
        .to
        .as_ref()
        .and_then(|to| lanes.iter().position(|lane| lane == to));
    let _ = writeln!(
        svg,
        "<text x=\"10\" y=\"{y}\" fill=\"#555\">{at:.3}s</text>"
    );
    match to.map(lane_x).filter(|to| *to != from) {
        Some(to) => {
            let _ = writeln!(
                svg,
                "<line x1=\"{from}\" y1=\"{y}\" x2=\"{to}\" y2=\"{y}\" stroke=\"black\" \
                 marker-end=\"url(#tip)\"/>"
            );
        }
        None => {
            let _ = writeln!(svg, "<circle cx=\"{from}\" cy=\"{y}\" r=\"4\"/>");
        }
    }
    let x = to.map(lane_x).map_or(from, |to| from.min(to)) + 8;
    let _ = writeln!(
        svg,
        "<text x=\"{x}\" y=\"{}\">{}</text>",
        y - 7,
        escape(&cut(&line.what, (width - x) / 6))
    );
}

fn lane_x(number: usize) -> usize {
    LEFT + number * LANE + LANE / 2
}

fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
