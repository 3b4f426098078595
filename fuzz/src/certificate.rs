//! Certificates and requests, PEM and DER: what is read keeps its bytes, and every question about it has an answer.

use cotter_factory::certificate::Certificates;
use cotter_factory::pki::alternative;
use cotter_factory::pki::chain::{Chain, Question};
use cotter_factory::pki::{Certificate, DateTime, Name, Request};

/// The input as a file of certificates, as a request, and as a name.
pub fn certificate(data: &[u8]) {
    if let Ok(stored) = Certificates::read(data) {
        let written = stored.to_stored().expect("what was read can be written");
        assert!(
            Certificates::read(&written).is_ok_and(|again| again == stored),
            "certificates changed in a round trip"
        );
    }
    if let Ok(certificates) = Certificate::read_all(data) {
        for certificate in &certificates {
            let again =
                Certificate::read_all(certificate.to_pem().as_bytes()).expect("what was read can be read again");
            assert!(again.iter().eq([certificate]), "a certificate changed in a round trip through PEM");
            assert!(
                !certificate.subject().to_string().contains(char::is_control),
                "a control character to the terminal"
            );
            let _ = (certificate.authority(), certificate.key_usage(), certificate.extended_key_usage());
            let _ = (certificate.subject_key_id(), certificate.authority_key_id(), certificate.public_key());
            for name in certificate.alternative_names().unwrap_or_default() {
                assert!(!alternative::shown(&name).contains(char::is_control), "a control character to the terminal");
            }
            for url in certificate.issuer_urls().unwrap_or_default() {
                assert!(!url.contains(char::is_control), "a control character to the terminal");
            }
        }
        let question = Question { at: DateTime::INFINITY, purpose: None, host: Some("host.example") };
        let chain = Chain::find(&certificates, &certificates[..1], &question);
        assert!(chain.is_some_and(|chain| !chain.links.is_empty()), "a chain without its leaf");
    }
    if let Ok(request) = Request::read(data) {
        let again = Request::read(request.to_pem().as_bytes());
        assert_eq!(again.as_ref(), Ok(&request), "a request changed in a round trip through PEM");
        let _ = (request.judge(), request.alternative_names());
    }
    if let Ok(name) = Name::from_der(data) {
        assert_eq!(name.as_der(), data, "a name changed when read");
        assert!(!name.to_string().contains(char::is_control), "a control character to the terminal");
    }
}
