//! How the page looks: the reader's light or dark, one column on a phone.

/// The style sheet.
pub const CSS: &str = "
:root{--ink:#1b1f24;--soft:#5c6570;--paper:#fff;--line:#d5dae0;--warn:#b3261e;
--linear:#1667c7;--attention:#c2500c;--conv3d:#1c7d3f;--norm:#8b3fb5;--elementwise:#7a6a00}
@media(prefers-color-scheme:dark){:root{--ink:#e8eaed;--soft:#a3abb5;--paper:#15181c;--line:#363c44;--warn:#ff8a80;
--linear:#69a8ff;--attention:#ff9b5c;--conv3d:#63cf8b;--norm:#cf96f0;--elementwise:#d9c541}}
*{box-sizing:border-box}
body{margin:0 auto;padding:1rem;max-width:76rem;font:16px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper)}
h1{font-size:1.6rem;margin:.2rem 0}h2{font-size:1.15rem;margin:0 0 .3rem}
p{margin:.4rem 0}.fine{color:var(--soft);font-size:.85rem}.warn{color:var(--warn)}
section{border-top:1px solid var(--line);margin-top:1.5rem;padding-top:1rem}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,26rem),1fr));gap:1rem}
figure{margin:0}figcaption{color:var(--soft);font-size:.9rem}
figure svg{width:100%;height:auto;display:block}
.legend{display:flex;flex-wrap:wrap;gap:.3rem 1.2rem;list-style:none;padding:0;margin:.6rem 0}
.legend svg{width:1em;height:1em;margin-right:.4em;vertical-align:-.1em;overflow:visible}
.wide{overflow-x:auto;margin:.8rem 0}table{border-collapse:collapse;font-size:.85rem}
th,td{padding:.2rem .6rem;text-align:left;white-space:nowrap;border-bottom:1px solid var(--line)}
th{color:var(--soft);font-weight:600}.n{text-align:right;font-variant-numeric:tabular-nums}
";
