'use strict';
// Keeps the page as the run is: asks for its version, and takes in the new page when that has changed. And sends pictures to be looked at.

const said = (id, text) => { document.getElementById(id).textContent = text; };

let shown = null;
let updates = 0;

async function poll() {
  try {
    const version = await (await fetch('/version')).text();
    if (version !== shown) {
      const answer = await fetch('/');
      if (!answer.ok) throw new Error(await answer.text());
      const next = new DOMParser().parseFromString(await answer.text(), 'text/html');
      const open = [...document.querySelectorAll('main details')].map(d => d.open);
      document.querySelector('main').replaceWith(next.querySelector('main'));
      document.querySelectorAll('main details').forEach((d, i) => { d.open = !!open[i]; });
      shown = answer.headers.get('X-Run-Version');
      document.body.dataset.updates = ++updates;
    }
    said('live', 'live');
  } catch (e) {
    said('live', 'not live: ' + e.message);
  }
  setTimeout(poll, document.hidden ? 10000 : 2000);
}

async function look(file) {
  said('said', 'looking at ' + file.name + ' …');
  const place = document.getElementById('attention');
  try {
    const answer = await fetch('/attention', { method: 'POST', body: file, headers: { 'Content-Type': file.type || 'application/octet-stream' } });
    if (!answer.ok) throw new Error(await answer.text());
    const { title, pictures } = await answer.json();
    place.replaceChildren(...pictures.map(p => {
      const figure = document.createElement('figure');
      const img = document.createElement('img');
      img.src = p.url;
      img.alt = p.caption;
      const caption = document.createElement('figcaption');
      caption.textContent = p.caption;
      figure.append(img, caption);
      return figure;
    }));
    said('said', file.name + ', seen by ' + title);
  } catch (e) {
    place.replaceChildren();
    said('said', file.name + ': ' + e.message);
  }
}

const drop = document.getElementById('drop');
for (const name of ['dragover', 'dragleave', 'drop']) {
  // Of the whole page: a browser opens a picture that is dropped beside the place for it.
  document.addEventListener(name, e => {
    e.preventDefault();
    drop.classList.toggle('over', name === 'dragover');
    if (name === 'drop' && e.dataTransfer.files.length > 0) look(e.dataTransfer.files[0]);
  });
}
document.getElementById('file').addEventListener('change', e => { if (e.target.files.length > 0) look(e.target.files[0]); });
poll();
