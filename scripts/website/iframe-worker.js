// The search of a page that is opened as a file: browsers start no worker there, so its script runs in a hidden frame.
// The name of this file and that of the class are those that the theme looks for.
if (location.protocol === "file:") {
  window.IFrameWorker = class extends EventTarget {
    constructor(url) {
      super();
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      document.body.appendChild(this.frame);
      const page = this.frame.contentDocument;
      page.open();
      page.write("<!doctype html><body></body>");
      page.close();
      this.frame.contentWindow.postMessage = (data) => this.dispatchEvent(new MessageEvent("message", { data }));
      const script = page.createElement("script");
      script.src = url;
      // What is posted before the script listens waits for it.
      this.listens = new Promise((resolve) => script.addEventListener("load", resolve));
      page.body.appendChild(script);
    }

    async postMessage(data) {
      await this.listens;
      this.frame.contentWindow.dispatchEvent(new MessageEvent("message", { data }));
    }

    terminate() {
      this.frame.remove();
    }
  };
  window.Worker = window.IFrameWorker;
}
