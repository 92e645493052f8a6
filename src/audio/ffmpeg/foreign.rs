//! Formats that the built-in decoders do not know, by their first bytes, and those that `ffmpeg` may read.

/// Demuxers of `ffmpeg` for single files with audio. Others are refused: playlists and the like name further files, and
/// some take any text for a picture.
pub(super) const DEMUXERS: &str = "aa,aac,aax,ac3,ace,adts,aea,aiff,alp,amr,amrnb,amrwb,ape,apm,aptx,asf,asf_o,ast,au,avi,\
    avr,avs,bfstm,binka,bit,boa,brstm,caf,cavsvideo,cdxl,codec2,dts,dtshd,dv,eac3,f4v,flac,flv,g722,g723_1,g729,gsm,gxf,\
    iff,ilbc,ircam,kvag,live_flv,loas,lvf,m4v,matroska,webm,mlp,mmf,mov,mp4,m4a,3gp,3g2,mj2,mp3,mpc,mpc8,mpeg,mpegts,\
    mpegvideo,mxf,nistsphere,nut,nuv,oma,ogg,pvf,qcp,r3d,rm,rso,sbc,sdr2,sds,shn,sln,smjpeg,sox,spdif,svs,swf,tak,tta,\
    truehd,ty,vag,voc,vqf,w64,wav,wsd,wtv,wv,wve,xa,xwma";

/// The start of a file in such a format.
struct Signature {
    at: usize,
    bytes: &'static [u8],
    name: &'static str,
}

const SIGNATURES: [Signature; 17] = [
    Signature {
        at: 0,
        bytes: b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\0\xaa\0\x62\xce\x6c",
        name: "Windows Media",
    },
    Signature { at: 0, bytes: b"#!AMR\n", name: "AMR" },
    Signature { at: 0, bytes: b"#!AMR-WB\n", name: "AMR-WB" },
    Signature { at: 0, bytes: b"\x7f\xfe\x80\x01", name: "DTS" },
    Signature { at: 0, bytes: b"\xfe\x7f\x01\x80", name: "DTS" },
    Signature { at: 0, bytes: b"DTSHDHDR", name: "DTS-HD" },
    Signature { at: 0, bytes: b"\0\0\x01\xba", name: "an MPEG program stream" },
    Signature { at: 0, bytes: b"FLV\x01", name: "Flash video" },
    Signature { at: 0, bytes: b".RMF", name: "RealMedia" },
    Signature { at: 0, bytes: b".ra\xfd", name: "RealAudio" },
    Signature { at: 0, bytes: b"MAC ", name: "Monkey's Audio" },
    Signature { at: 0, bytes: b"wvpk", name: "WavPack" },
    Signature { at: 0, bytes: b"TTA1", name: "TTA" },
    Signature { at: 0, bytes: b"MPCK", name: "Musepack" },
    Signature { at: 0, bytes: b"MP+", name: "Musepack" },
    Signature { at: 4, bytes: b"\xf8\x72\x6f\xba", name: "TrueHD" },
    Signature { at: 0, bytes: b"\x06\x0e\x2b\x34\x02\x05\x01\x01\x0d\x01\x02", name: "MXF" },
];

/// Names the format of a file by its first bytes, if the built-in decoders do not know it.
pub(in crate::audio) fn foreign_format(bytes: &[u8]) -> Option<&'static str> {
    let found = SIGNATURES
        .iter()
        .find(|signature| bytes.get(signature.at..).is_some_and(|rest| rest.starts_with(signature.bytes)));
    found.map(|signature| signature.name).or_else(|| transport_stream(bytes)).or_else(|| ac3(bytes))
}

/// Packets of a transport stream begin with the same byte, after a time in that of cameras.
fn transport_stream(bytes: &[u8]) -> Option<&'static str> {
    const SYNC: u8 = 0x47;
    const PACKETS: usize = 4;
    let repeats = |first: usize, length: usize| {
        (0..PACKETS).all(|packet| bytes.get(first + packet * length) == Some(&SYNC))
    };
    (repeats(0, 188) || repeats(4, 192)).then_some("an MPEG transport stream")
}

/// Two frames in a row, since the mark of a single one is short.
fn ac3(bytes: &[u8]) -> Option<&'static str> {
    let (first, length) = ac3_frame(bytes)?;
    let (next, _) = ac3_frame(bytes.get(length..)?)?;
    (first == next).then_some(first)
}

/// Returns the name and the length of the AC-3 or E-AC-3 frame that begins here.
fn ac3_frame(bytes: &[u8]) -> Option<(&'static str, usize)> {
    let header: [u8; 6] = bytes.get(..6)?.try_into().ok()?;
    if header[..2] != [0x0b, 0x77] {
        return None;
    }
    if (11..=16).contains(&(header[5] >> 3)) {
        let words = usize::from(header[2] & 7) << 8 | usize::from(header[3]);
        return Some(("E-AC-3", (words + 1) * 2));
    }
    const KBPS: [usize; 19] =
        [32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640];
    let size = usize::from(header[4] & 0x3f);
    let kbps = KBPS.get(size / 2)?;
    let words = match header[4] >> 6 {
        0 => kbps * 2,
        // At 44.1 kHz frames differ by a word.
        1 => kbps * 96_000 / 44_100 + size % 2,
        2 => kbps * 3,
        _ => return None,
    };
    Some(("AC-3", words * 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_formats_by_their_first_bytes() {
        assert_eq!(foreign_format(b"#!AMR\n\x3c"), Some("AMR"));
        assert_eq!(foreign_format(b"#!AMR-WB\n\x3c"), Some("AMR-WB"));
        let mut packets = vec![0; 188 * 4];
        packets.iter_mut().step_by(188).for_each(|byte| *byte = 0x47);
        assert_eq!(foreign_format(&packets), Some("an MPEG transport stream"));
        assert_eq!(foreign_format(&packets[..188 * 3]), None);
        let mut frames = vec![0; 40];
        frames[..6].copy_from_slice(b"\x0b\x77\0\x0f\0\x80");
        assert_eq!(foreign_format(&frames), None);
        frames[32..38].copy_from_slice(b"\x0b\x77\0\x0f\0\x80");
        assert_eq!(foreign_format(&frames), Some("E-AC-3"));
        for known in [&b""[..], b"RIFF....WAVE", b"ID3\x04", b"\x0b\x77\0\0\x08\x40", b"G"] {
            assert_eq!(foreign_format(known), None, "{known:?}");
        }
    }

    #[test]
    fn recordings_for_the_built_in_decoders_are_not_foreign() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/audio");
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                assert_eq!(foreign_format(&std::fs::read(&path).unwrap()), None, "{}", path.display());
            }
        }
    }
}
