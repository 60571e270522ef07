// A load's page shows what happens to it while it is open: it is loaded anew when there
// is news, unless a bid is being typed.
import { Live } from "/live.js";

const load = document.getElementById("load").dataset.load;
const typing = () => document.activeElement?.name === "price" && document.activeElement.value !== "";
let seen = false;
if (document.querySelector(".who form")) { // signed in
  new Live("/live").follow("load:" + load, {
    message: (m) => { if (Date.now() - m.at < 10000 && !typing() && !seen) { seen = true; location.reload(); } },
  });
}
