# Homebrew: `brew install OWNER/tap/transcribe`.
class Transcribe < Formula
  desc "Batch transcriber for long recordings: Whisper on Metal or the CPU"
  homepage "@URL@"
  version "@VERSION@"
  license any_of: ["MIT", "Apache-2.0"]

  on_macos do
    url "@DOWNLOAD@/transcribe-@VERSION@-aarch64-apple-darwin.tar.gz"
    sha256 "@SHA256:aarch64-apple-darwin.tar.gz@"
    depends_on arch: :arm64
  end
  on_linux do
    on_intel do
      url "@DOWNLOAD@/transcribe-@VERSION@-x86_64-unknown-linux-gnu.tar.gz"
      sha256 "@SHA256:x86_64-unknown-linux-gnu.tar.gz@"
    end
    on_arm do
      url "@DOWNLOAD@/transcribe-@VERSION@-aarch64-unknown-linux-gnu.tar.gz"
      sha256 "@SHA256:aarch64-unknown-linux-gnu.tar.gz@"
    end
  end

  def install
    bin.install "transcribe"
    generate_completions_from_executable(bin/"transcribe", "completions", shells: [:bash, :zsh, :fish])
    system bin/"transcribe", "man", "--dir", "man"
    man1.install Dir["man/*.1"]
  end

  test do
    system bin/"transcribe", "doctor", "--device", "cpu"
  end
end
