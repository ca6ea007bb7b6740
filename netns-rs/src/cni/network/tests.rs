//! The parts of a configuration that decide what a plugin is given.

use super::*;

const LIST: &str = r#"{"cniVersion":"0.4.0","cniVersions":["0.3.1","1.0.0","9.0.0"],"name":"n","plugins":[
    {"type":"bridge","bridge":"b0","capabilities":{"ips":true,"mac":false}},{"type":"portmap","capabilities":{"portMappings":true}}]}"#;

#[test]
fn each_plugin_gets_the_arguments_that_it_declares() {
    let network = Network::parse(LIST.as_bytes(), true).unwrap();
    assert_eq!((network.name.as_str(), network.version.as_str(), network.has_check()), ("n", "1.0.0", true));
    let arguments: Map<_, _> = [("ips".to_owned(), json!(["a"])), ("mac".to_owned(), json!("b"))].into_iter().collect();
    let input = |at: usize, result| network.input(&network.plugins[at], &arguments, result).to_string();
    assert_eq!(
        input(0, None),
        r#"{"type":"bridge","bridge":"b0","runtimeConfig":{"ips":["a"]},"name":"n","cniVersion":"1.0.0"}"#
    );
    assert_eq!(input(1, Some(&json!({}))), r#"{"type":"portmap","name":"n","cniVersion":"1.0.0","prevResult":{}}"#);
    let again = Network::parse(network.text().as_bytes(), true).unwrap();
    assert_eq!(again, Network { has_folder: false, ..network.clone() }, "the cache has all plugins");
    let wanted = |capability| Argument { option: "--x", capability, value: Value::Null };
    assert!(network.require_capabilities(&[wanted("portMappings")]).is_ok());
    assert!(network.require_capabilities(&[wanted("mac")]).is_err(), "it is declared as false");
}

#[test]
fn plugins_in_files_of_their_own_are_used_where_the_configuration_allows_it() {
    let directory = std::env::temp_dir().join(format!("netns-rs-cni-{}", std::process::id()));
    std::fs::create_dir_all(directory.join("n")).unwrap();
    std::fs::write(directory.join("n/1.conf"), r#"{"type":"portmap"}"#).unwrap();
    let kinds = |text: &str, is_list| {
        let network = Network::parse(text.as_bytes(), is_list).unwrap().with_folder(&directory).unwrap();
        network.plugins.iter().map(|plugin| kind(plugin).to_owned()).collect::<Vec<_>>().join(" ")
    };
    let list = r#"{"name":"n","plugins":[{"type":"bridge"}]}"#;
    assert_eq!(kinds(list, true), "bridge portmap");
    assert_eq!(kinds(&list.replace("{\"name", "{\"loadOnlyInlinedPlugins\":true,\"name"), true), "bridge");
    assert_eq!(kinds(r#"{"name":"n","type":"bridge"}"#, false), "bridge", "a single plugin is no list");
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn a_single_plugin_is_a_list_of_one_and_what_is_wrong_is_said() {
    let single = Network::parse(br#"{"name":"n","type":"loopback"}"#, false).unwrap();
    assert_eq!((single.version.as_str(), kind(&single.plugins[0])), ("0.2.0", "loopback"));
    assert!(!single.has_previous_result());
    for (text, is_list, why) in [
        ("{", true, "EOF"),
        (r#"{"name":"n","name":"n"}"#, true, "twice"),
        (r#"{"name":"../n","plugins":[]}"#, true, "no valid \"name\""),
        (r#"{"name":"n","plugins":[{"type":"../sh"}]}"#, true, "no name of a program"),
        (r#"{"name":"n","plugins":[{}]}"#, true, "no \"type\""),
        (r#"{"name":"n","plugins":{}}"#, true, "no list"),
        (r#"{"name":"n","loadOnlyInlinedPlugins":true}"#, true, "no plugin"),
        (r#"{"name":"n","cniVersion":"2.0.0","type":"x"}"#, false, "newest is 1.1.0"),
    ] {
        let wrong = Network::parse(text.as_bytes(), is_list).unwrap_err();
        assert!(wrong.contains(why), "{text}: {wrong}");
    }
}
