//! The map page: one document that asks nobody but this agent.
//!
//! Its parts lie in `agent/web/` and are put together by the compiler. Names from the air reach it as JSON and are laid
//! out as text; should one ever pass as markup all the same, the policy lets no script run but the page's own.

use axum::http::header;
use axum::response::{IntoResponse, Response};

/// `GET /`.
pub(super) async fn show() -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, PAGE).into_response()
}

macro_rules! script {
    () => {
        concat!(
            include_str!("../../web/model.js"),
            include_str!("../../web/map.js"),
            include_str!("../../web/table.js")
        )
    };
}

const PAGE: &str = concat!(
    "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n",
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>Wayside</title>\n<style>",
    include_str!("../../web/page.css"),
    "</style>\n",
    include_str!("../../web/page.html"),
    "<script>",
    script!(),
    "</script>\n</html>\n"
);

/// The script is named by its hash (Content Security Policy Level 3, 6.7.3.3); nothing is fetched from anywhere else.
const POLICY: &str = concat!(
    "default-src 'none'; style-src 'unsafe-inline'; connect-src 'self'; base-uri 'none'; form-action 'none'; ",
    "frame-ancestors 'none'; script-src 'sha256-lNeI0F62atg2sYljz/uN86NK25GD1doF/lrQdm7gMaM='"
);

#[cfg(test)]
mod tests {
    use super::*;
    use ring::digest::{SHA256, digest};

    #[test]
    fn the_policy_names_the_script_by_its_hash() {
        let hash = base64(digest(&SHA256, script!().as_bytes()).as_ref());
        assert!(POLICY.contains(&format!("'sha256-{hash}'")), "write sha256-{hash} into POLICY");
    }

    #[test]
    fn the_page_fetches_nothing_from_anywhere_else() {
        for part in ["http://", "https://", "//cdn", "src=", "@import", "url("] {
            assert!(!PAGE.contains(part), "{part}");
        }
        assert!(PAGE.len() < 80 * 1_024, "{} bytes", PAGE.len());
    }

    /// RFC 4648, section 4.
    fn base64(bytes: &[u8]) -> String {
        const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut text = String::new();
        for three in bytes.chunks(3) {
            let bits = three.iter().fold(0, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
            for place in 0..4 {
                let digit = char::from(DIGITS[(bits >> (18 - 6 * place) & 63) as usize]);
                text.push(if place <= three.len() { digit } else { '=' });
            }
        }
        text
    }
}
