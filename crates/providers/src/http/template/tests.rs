use super::*;

fn rendered(format: Format, template: &str, body: &str) -> String {
    let template = Template::new("body", format, template).unwrap();
    template.render(&|placeholder| match placeholder {
        Attachments => "[\"https://example.com/a\"]".to_owned(),
        Attempt => "2".to_owned(),
        _ => body.to_owned(),
    })
}

fn refused(format: Format, template: &str) -> String {
    Template::new("body", format, template).unwrap_err().to_string()
}

/// Whatever a person may write to break out of the place that it stands in.
const HOSTILE: &[&str] = &[
    "&to=%2B1&x=",
    "a&b=c;d#e?f",
    "\"},{\"to\":\"x\"}",
    "\\",
    "\\\"",
    "\\u0022",
    "</text><to>x</to>",
    "\" to=\"x",
    "' to='x",
    "]]><!--",
    "&lt;&#60;",
    "a\r\nX-To: x\n\0\u{1}\u{7f}",
    "{to}{password}",
    "%00%26",
    "\u{2028}\u{1f44d}gr\u{fc}n",
    "",
];

#[test]
fn a_form_has_the_same_pairs_whatever_the_message_says() {
    for body in HOSTILE {
        let text = rendered(Format::Form, "to=1&text={body}&x={body}y&n={attempt}", body);
        let pairs: Vec<(String, String)> = form_urlencoded::parse(text.as_bytes()).into_owned().collect();
        let expected = [("to", "1"), ("text", body), ("x", &format!("{body}y")), ("n", "2")];
        assert_eq!(pairs, expected.map(|(name, value)| (name.to_owned(), value.to_owned())), "{text}");
    }
}

#[test]
fn a_url_has_the_same_host_path_and_pairs_whatever_the_message_says() {
    for body in HOSTILE {
        let text = rendered(Format::Url, "/a/{to}/send?text={body}&x=1", body);
        let url: url::Url = format!("https://gateway.example.com{text}").parse().unwrap();
        assert_eq!(url.host_str(), Some("gateway.example.com"));
        assert_eq!(url.path_segments().unwrap().count(), 3, "{text}");
        assert_eq!(url.fragment(), None);
        let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
        assert_eq!(pairs, [("text", *body), ("x", "1")].map(|(n, v)| (n.to_owned(), v.to_owned())));
        assert!(text.parse::<::http::Uri>().is_ok(), "{text}");
    }
}

#[test]
fn json_has_the_same_shape_whatever_the_message_says() {
    let template = r#"{ "to": ["1"], "n": {attempt}, "m": {attachments}, "text": "a {body}", "o": {} }"#;
    for body in HOSTILE {
        let value: Value = serde_json::from_str(&rendered(Format::Json, template, body)).unwrap();
        let expected = serde_json::json!({
            "to": ["1"], "n": 2, "m": ["https://example.com/a"], "text": format!("a {body}"), "o": {},
        });
        assert_eq!(value, expected);
    }
}

#[test]
fn xml_has_the_same_tags_whatever_the_message_says() {
    for body in HOSTILE {
        let text = rendered(Format::Xml, "<m to=\"{to}\" from='{from}'><t>{body}</t></m>", body);
        assert_eq!(text.matches('<').count(), 4, "{text}");
        assert_eq!(text.matches('>').count(), 4, "{text}");
        assert_eq!((text.matches('"').count(), text.matches('\'').count()), (2, 2), "{text}");
        let bare = text.replace("&amp;", "").replace("&lt;", "").replace("&gt;", "");
        let bare = bare.replace("&quot;", "").replace("&#39;", "");
        let bare = bare.replace("&#9;", "").replace("&#10;", "").replace("&#13;", "");
        assert!(!bare.contains('&') && !bare.contains(|c: char| c < ' '), "{text}");
    }
}

#[test]
fn a_placeholder_that_is_unknown_is_refused_by_name_with_those_that_are() {
    let says = refused(Format::Form, "to={recipient}");
    assert!(says.starts_with("body: {recipient} is no placeholder; there are {from}, "), "{says}");
    assert_eq!(rendered(Format::Form, "a={}&b={ to }&c={1}&d={", "x"), "a={}&b={ to }&c={1}&d={");
}

#[test]
fn a_placeholder_where_no_value_can_stand_is_refused() {
    for (format, template) in [
        (Format::Form, "{body}=1"),
        (Format::Form, "a=1&{body}"),
        (Format::Form, "a={attachments}"),
        (Format::Url, "{to}/x"),
        (Format::Url, "https://elsewhere.example.com/{to}"),
        (Format::Url, "/x/{body}"),
        (Format::Url, "/x/{callback_url}?a=1"),
        (Format::Url, "/x?{body}=1"),
        (Format::Url, "/x?a={body}#b"),
        (Format::Url, "/x y"),
        (Format::Json, "{\"a\": {body}}"),
        (Format::Json, "{\"a\": \"\\{body}\"}"),
        (Format::Json, "{\"a\": \"\\u{body}\"}"),
        (Format::Json, "{\"{body}\": 1}"),
        (Format::Json, "{\"a\": [{\"x{body}y\": 1}]}"),
        (Format::Json, "{\"a\": \"{attachments}\", }"),
        (Format::Json, "to={to}"),
        (Format::Xml, "<{body}>"),
        (Format::Xml, "<a {body}=\"1\"/>"),
        (Format::Xml, "<a b={body}/>"),
        (Format::Xml, "<!-- {body} --><a/>"),
        (Format::Xml, "<a><![CDATA[{body}]]></a>"),
        (Format::Xml, "<a>{body}</a"),
        (Format::Header, "{body}"),
        (Format::Header, "{from}"),
    ] {
        assert!(refused(format, template).starts_with("body: "), "{template}");
    }
}
